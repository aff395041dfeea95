"""The Python interface: load, score, prune, export; the commands and the package's `pg.` names call it."""
