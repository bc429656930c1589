"""A whole mesh in one process: the product's machines on a virtual clock, a simulated network and a simulated disk."""
