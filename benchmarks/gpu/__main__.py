"""`python benchmarks/gpu`: see run.py."""

import sys
from pathlib import Path

# A package named gpu: with the folder itself on the path its modules would hide installed ones (`kernels`).
sys.path.pop(0)
sys.path.append(str(Path(__file__).resolve().parents[1]))

if __name__ == "__main__":
    from gpu.run import main

    main()
