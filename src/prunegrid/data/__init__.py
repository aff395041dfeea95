"""Training data: read from the hub, a mirror or a file, and written as the Parquet that the other steps read."""
