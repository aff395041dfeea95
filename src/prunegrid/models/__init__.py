"""Base models: their folders and digests, and what training and scoring require of an architecture.

`architecture` names what model families differ in, `meta_model` builds a model without weights, and `probes` runs a
loaded model on a few tokens. Neither torch nor transformers is imported here.
"""

from prunegrid.models.adapters import apply_adapter
from prunegrid.models.chat_template import prepare_tokenizer, template_date
from prunegrid.models.digests import (
    check_unchanged,
    data_digest,
    describe,
    evaluated_digests,
    expected_digests,
    template_digest,
    weights_digest,
)
from prunegrid.models.folder import check_complete, file_sizes, is_adapter
from prunegrid.models.load import check_device, load_model, load_tokenizer, merge_adapter
from prunegrid.models.materialise import materialise

__all__ = [
    "apply_adapter",
    "check_complete",
    "check_device",
    "check_unchanged",
    "data_digest",
    "describe",
    "evaluated_digests",
    "expected_digests",
    "file_sizes",
    "is_adapter",
    "load_model",
    "load_tokenizer",
    "materialise",
    "merge_adapter",
    "prepare_tokenizer",
    "template_date",
    "template_digest",
    "weights_digest",
]
