"""The published tables of arXiv 2509.23873 (Q-Tuning), as data."""
