"""`python benchmarks/gpu`: see run.py."""

import sys
from pathlib import Path

# A package named gpu: with the folder itself on the path its modules would hide installed ones (`kernels`).
sys.path.pop(0)
PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "src")]  # the package of this checkout before any other, as in the sections
sys.path.append(str(PROJECT / "benchmarks"))

if __name__ == "__main__":
    from gpu.run import main

    main()
