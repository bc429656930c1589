"""NEAR: accounts, keys, payments, and the contracts of the collective."""
