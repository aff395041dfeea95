"""`python cli_imports.py ARGUMENT ...`: run `prunegrid ARGUMENT ...`, then print all modules that were imported."""

import sys

from prunegrid import cli

if __name__ == "__main__":
    cli.main(sys.argv[1:])
    print(*sys.modules)
