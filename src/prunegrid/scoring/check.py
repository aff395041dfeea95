"""What a model cannot read of tokenised samples, found before the pass."""

from pathlib import Path
from typing import Any

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.models.context import context, learns_positions
from prunegrid.scoring.sequences import Sequences


def check_sequences(model_dir: Path, tokenizer: Any, sequences: Sequences) -> dict[str, int]:
    """Refuse tokens without an embedding and samples beyond learned positions.

    A model that computes its positions reads any number of them: samples longer than it was made for are counted.
    """
    if not len(sequences):
        return {}
    vocabulary, positions = context(model_dir)
    if vocabulary is not None:
        _check_embeddings(model_dir, tokenizer, sequences, vocabulary)
    length_C = sequences.conversations.length_C
    longer = 0 if positions is None else int((length_C > positions).sum())
    if longer and learns_positions(model_dir):
        problem = (
            f"its {positions} positions are fewer than the tokens of {longer} of {len(length_C)} samples "
            f"(the longest has {length_C.max()})"
        )
        fix = f"set --max-length (scoring.max_length) to at most {positions}"
        raise PrunegridError(model_dir, problem, fix)
    return {"beyond_context": longer} if longer else {}


def _check_embeddings(model_dir: Path, tokenizer: Any, sequences: Sequences, vocabulary: int) -> None:
    unknown_T = sequences.ids_T >= vocabulary
    if not unknown_T.any():
        return
    ids = np.unique(sequences.ids_T[unknown_T]).tolist()
    samples = int(np.add.reduceat(unknown_T, sequences.offsets[:-1], dtype=np.int64).astype(bool).sum())
    names = ", ".join(repr(tokenizer.convert_ids_to_tokens(number)) for number in ids[:3])
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    problem = (
        f"has embeddings of {vocabulary} tokens, and {samples} of {len(sequences)} samples hold tokens of its "
        f"tokenizer beyond them: {names}{more} (id {ids[0]} and up)"
    )
    fix = "use the model's own tokenizer, or model.resize_token_embeddings(len(tokenizer)) and save_pretrained"
    raise PrunegridError(model_dir, problem, fix)
