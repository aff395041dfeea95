"""The GPU kit: see README.md and `__main__`."""
