"""Stateless randomness: a draw is a hash of (seed, purpose, epoch, step, sample_id, position).

So the draw of a sample depends neither on the order of the rows nor on which other samples there are.
The mixer is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014).
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 2**18  # what is drawn at a time: the steps between would take ten times the memory of the draws
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose of a cell (`pruning`, `training`, `data`), independent of the others."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def uniform(
    seed: int, purpose: str, sample_id: ArrayLike, position: ArrayLike = 0, *, epoch: int = 0, step: int = 0
) -> NDArray[np.float64]:
    """Draws in [0, 1), one for each broadcast pair of `sample_id` and `position`."""
    ids, positions = np.broadcast_arrays(sample_id, position)
    if ids.size <= CHUNK or ids.ndim != 1:
        return _uniform(seed, purpose, ids, positions, epoch, step)
    draws = np.empty(len(ids))
    for start in range(0, len(ids), CHUNK):
        part = slice(start, start + CHUNK)
        draws[part] = _uniform(seed, purpose, ids[part], positions[part], epoch, step)
    return draws


def _uniform(
    seed: int, purpose: str, sample_id: NDArray[Any], position: NDArray[Any], epoch: int, step: int
) -> NDArray[np.float64]:
    state = np.asarray(derive_seed(seed, purpose), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in (epoch, step, sample_id, position):
            state = _mix((state ^ np.asarray(key, dtype=np.int64).astype(np.uint64)) + _GOLDEN)
    return np.asarray((state >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
