"""The patterns of a person on this device: what they chose, what strangers may have, and the index; all in step with the mesh."""
