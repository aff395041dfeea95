"""What a model cannot read of tokenised samples, found before the pass."""

from pathlib import Path
from typing import Any

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.models.context import Context, context
from prunegrid.scoring.sequences import Sequences


def check_sequences(model_dir: Path, tokenizer: Any, sequences: Sequences) -> dict[str, int]:
    """Refuse tokens without an embedding and samples beyond learned positions.

    A model that computes its positions reads any number of them: samples longer than it was made for are counted.
    """
    if not len(sequences):
        return {}
    limits = context(model_dir)
    _check_embeddings(model_dir, tokenizer, sequences, limits)
    length_C = sequences.conversations.length_C
    longer = int((length_C > limits.positions).sum()) if limits.positions else 0
    if longer and limits.learned:
        problem = (
            f"its {limits.positions} positions are fewer than the tokens of {longer} of {len(length_C)} samples "
            f"(the longest has {length_C.max()})"
        )
        fix = f"set --max-length (scoring.max_length) to at most {limits.positions}"
        raise PrunegridError(model_dir, problem, fix)
    return {"beyond_context": longer} if longer else {}


def _check_embeddings(model_dir: Path, tokenizer: Any, sequences: Sequences, limits: Context) -> None:
    unknown_T = sequences.ids_T >= limits.vocabulary
    if not unknown_T.any():
        return
    ids = np.unique(sequences.ids_T[unknown_T]).tolist()
    samples = int(np.add.reduceat(unknown_T, sequences.offsets[:-1], dtype=np.int64).astype(bool).sum())
    names = ", ".join(repr(tokenizer.convert_ids_to_tokens(number)) for number in ids[:3])
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    problem = (
        f"has embeddings of {limits.vocabulary} tokens, and {samples} of {len(sequences)} samples hold tokens of its "
        f"tokenizer beyond them: {names}{more} (id {ids[0]} and up)"
    )
    fix = "use the model's own tokenizer, or model.resize_token_embeddings(len(tokenizer)) and save_pretrained"
    raise PrunegridError(model_dir, problem, fix)
