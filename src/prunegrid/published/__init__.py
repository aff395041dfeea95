"""The published tables of arXiv 2509.23873 (Q-Tuning): as data, audited, and as something to compare with."""

V2_TABLES = (1, 2, 3, 8, 9, 10, 11, 12, 13, 14)
