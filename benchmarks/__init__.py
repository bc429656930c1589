"""Measurements of mycelnode beside its peers and beside what is possible; `make bench` runs them."""
