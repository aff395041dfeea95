"""A results folder as one page to explore, `report.html`, which opens from disk without network or server."""
