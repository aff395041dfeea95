"""What a model cannot read is refused before the pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunegrid.models import load_tokenizer
from prunegrid.models.context import Context, context, learns_positions
from prunegrid.scoring.check import check_sequences
from prunegrid.scoring.sequences import Sequences
from support.errors import refused
from support.tiny_architectures import write_model

GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2, "max_position_embeddings": 40}
OPT = {"model_type": "opt", "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 40}


def samples(*lengths: int, token: int = 5, continues: tuple[bool, ...] | None = None) -> Sequences:
    """Samples of so many tokens, half of them prompt, whose last token is `token`."""
    total = np.array(lengths, dtype=np.int64)
    ids_T = np.full(int(total.sum()), 7, np.int32)
    ids_T[np.cumsum(total) - 1] = token
    marks = None if continues is None else np.array(continues)
    numbers = np.arange(len(lengths))
    return Sequences(numbers, total // 2, total - total // 2, np.zeros(len(lengths), bool), ids_T, continues_N=marks)


@pytest.mark.parametrize(
    ("values", "expected", "learned"),
    [
        (GPT2, Context(300, 40), True),
        (OPT, Context(300, 40), True),
        ({"model_type": "llama"}, Context(300, 128), False),
        ({"model_type": "qwen3", "head_dim": 16, "vocab_size": 320}, Context(320, 128), False),
    ],
    ids=["gpt2", "opt", "llama", "qwen3"],
)
def test_context_of_an_architecture(
    tmp_path: Path, tiny_model: Path, values: dict[str, Any], expected: Context, learned: bool
) -> None:
    folder = write_model(tmp_path / "m", tiny_model, **values)
    assert context(folder) == expected
    assert learns_positions(folder) == learned


def test_tokens_without_an_embedding_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    folder = write_model(tmp_path / "m", tiny_model, model_type="llama", vocab_size=290)
    tokenizer = load_tokenizer(tiny_model)
    assert check_sequences(folder, tokenizer, samples(4, 6, token=289)) == {}
    with refused(folder, "290", "2 of 2 samples", repr(tokenizer.convert_ids_to_tokens(290)), fix="resize"):
        check_sequences(folder, tokenizer, samples(4, 6, token=290))


@pytest.mark.parametrize("values", [GPT2, OPT], ids=["gpt2", "opt"])
def test_samples_beyond_learned_positions_are_refused(tmp_path: Path, tiny_model: Path, values: dict[str, Any]) -> None:
    folder, tokenizer = write_model(tmp_path / "m", tiny_model, **values), load_tokenizer(tiny_model)
    assert check_sequences(folder, tokenizer, samples(40, 9)) == {}
    with refused(folder, "40 positions", "1 of 3 samples", "41", fix="at most 40"):
        check_sequences(folder, tokenizer, samples(9, 41, 40))
    with refused(folder, "1 of 1 samples", "60", fix="--max-length"):
        check_sequences(folder, tokenizer, samples(30, 30, continues=(False, True)))


def test_samples_beyond_computed_positions_are_counted(tmp_path: Path, tiny_model: Path) -> None:
    folder, tokenizer = write_model(tmp_path / "m", tiny_model, model_type="llama"), load_tokenizer(tiny_model)
    assert check_sequences(folder, tokenizer, samples(129, 128, 200)) == {"beyond_context": 2}
    assert check_sequences(folder, tokenizer, samples()) == {}
