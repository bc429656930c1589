"""The outside services behind ports.py."""
