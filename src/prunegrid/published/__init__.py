"""The published tables of arXiv 2509.23873 (Q-Tuning): as data, audited, and as a basis for comparison."""

V2_TABLES = (1, 2, 3, 8, 9, 10, 11, 12, 13, 14)
