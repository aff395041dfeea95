"""Initialise a process group of one rank and all_reduce one tensor: `python collective.py gloo cpu`.

The doctor runs it in a process of its own, which it ends if it hangs. It prints how long both took.
"""

import sys
from time import perf_counter

import torch
from torch import distributed


def main(backend: str, device: str) -> None:
    start = perf_counter()
    store = distributed.TCPStore("127.0.0.1", 0, 1, is_master=True)
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    tensor = torch.arange(8.0, device=device)
    ready = perf_counter()
    distributed.all_reduce(tensor)
    total = float(tensor.sum())  # waits for the device
    end = perf_counter()
    distributed.destroy_process_group()
    if total != 28:
        sys.exit(f"all_reduce of 0..7 sums up to {total}, not 28")
    print(f"initialised in {1000 * (ready - start):.2g} ms, all_reduce in {1000 * (end - ready):.2g} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
