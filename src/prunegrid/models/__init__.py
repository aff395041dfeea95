"""Base models: their folders (`base_models`), and what training and scoring need of an architecture.

`architecture` reads a configuration, without weights; `probes` runs a loaded model on a few tokens. Neither is
imported here, nor are torch and transformers.
"""

from prunegrid.models.base_models import (
    FILES,
    check_device,
    describe,
    expected_digests,
    is_adapter,
    load_model,
    load_tokenizer,
    materialise,
    merge,
    require_whole,
    sizes,
    weights_digest,
    with_adapter,
)

__all__ = [
    "FILES",
    "check_device",
    "describe",
    "expected_digests",
    "is_adapter",
    "load_model",
    "load_tokenizer",
    "materialise",
    "merge",
    "require_whole",
    "sizes",
    "weights_digest",
    "with_adapter",
]
