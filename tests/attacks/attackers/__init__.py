"""The attacks, by the layer at which they strike. Each is a function of a `target.Target`; `attack.py` runs one in a process."""
