"""How many of the head's logits exist at once, by device. Imports nothing, since the memory plan reads it, too.

A GPU needs many positions at once, because it reads the head's weights again for each chunk.
"""

CHUNK = {"cpu": 256, "cuda": 4096}  # positions
ELEMENTS = {"cpu": 2**23, "cuda": 2**29}  # logits


def chunk_positions(device: str, vocabulary: int, elements: int | None = None) -> int:
    """Positions of a chunk, of at most `elements` logits; at least one."""
    return max(1, min(CHUNK[device], (elements or ELEMENTS[device]) // vocabulary))
