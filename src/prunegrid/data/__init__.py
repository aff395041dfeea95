"""Training data: read from the hub, a mirror or a file, and written as the contract's Parquet."""
