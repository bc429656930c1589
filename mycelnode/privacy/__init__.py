"""What leaves a person's devices, and what is promised about it: nothing but by a release decision. Knows no network."""
