"""The command `prunegrid`."""

from prunegrid.cli.app import main

__all__ = ["main"]
