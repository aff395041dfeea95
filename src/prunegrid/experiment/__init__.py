"""The experiment: its configuration, its grid of cells, and where its files are."""
