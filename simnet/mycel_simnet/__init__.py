"""simnet: meshes of real node processes on one machine, with faults on purpose, and a check that nothing was lost."""
