"""The peers' side of each measurement; what they need is installed apart from the product (`benchmarks.install`)."""
