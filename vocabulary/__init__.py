"""The public word lists that ship with mycelnode, made from their sources: `make vocabulary`."""
