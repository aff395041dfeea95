"""`python imports.py MODULE ...`: import them, and print all modules that are there then."""

import importlib
import sys

if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print(*sys.modules)
