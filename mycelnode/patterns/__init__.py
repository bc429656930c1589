"""Patterns: what they are, how they are named by their content, kept, carried and found. Knows no network."""
