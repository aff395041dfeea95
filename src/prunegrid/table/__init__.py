"""The table: how a results frame is laid out, how it looks in each format, and the files that are written."""
