"""Programs that tests and `make` start."""
