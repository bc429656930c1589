"""How fast mycelnode is, and how many bytes it needs, beside its peers and beside the least there could be.

``python -m benchmarks`` runs everything, round by round; docs/performance.md says how to read the table.
"""
