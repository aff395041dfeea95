"""Conversations of several answers: read once, and scored as a row for each answer is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.scoring.attention import paid_by_last_token
from prunegrid.scoring.forward import compute_in_batches, hidden_states
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import Scorer
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.writer import gather, write_scores
from support.conversations import TURNS, conversations
from support.errors import refused
from support.tiny_models import tiny

META = {"samples": 1, "fully_cut": 0, "truncated": 1, "tokens": 1, "positions": 1, "seconds": 1, "forward_seconds": 1}
META |= {"schema": 1, "digests": {}, "dtype": "float32", "head": "h", "max_length": 9, "left_out": {}}


def test_expanded_prompts_hold_all_that_stands_before_the_answer() -> None:
    given = conversations()
    whole = given.expanded()
    before: list[int] = []
    for row, continues in enumerate(given.continues_N.tolist()):
        prompt, response = given.ids(row)
        before = [*before, *prompt] if continues else prompt
        assert whole.ids(row) == (before, response)
        before = before + response
    assert whole.continues_N is None


def test_a_conversation_is_taken_whole() -> None:
    given = conversations()
    some = given.take(given.conversations.samples(np.array([4, 0])))
    assert some.turn_N.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert some.conversations.turns_C.tolist() == [4, 3]
    assert [some.ids(row) for row in (0, 6)] == [given.ids(row) for row in (7, 2)]


@pytest.mark.parametrize("batch_tokens", [30, 400])
@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2", "gpt_neo", "mistral eager"])
def test_scores_are_those_of_a_row_for_each_answer(kind: str, batch_tokens: int) -> None:
    family, *eager = kind.split()  # eager attention gets an explicit mask
    model, given = tiny(family).eval(), conversations()
    if eager:
        model.set_attn_implementation("eager")
    once, facts = Scorer(model)(given, batch_tokens, "scoring")
    each, each_facts = Scorer(model)(given.expanded(), batch_tokens, "scoring")
    assert once.keys() == each.keys() and ("fastv" in once) >= (family in ("llama", "mistral"))
    assert facts["positions"] < each_facts["positions"]
    for name, values in once.items():
        np.testing.assert_allclose(values, each[name], rtol=2e-4, atol=2e-6, err_msg=name)


def test_the_last_token_of_each_answer_pays_as_in_a_row_of_its_own() -> None:
    model, given = tiny("llama").eval(), conversations()

    def paid(sequences: Sequences) -> Any:
        def compute(batch: Any) -> tuple[Any, ...]:
            hidden_states(model, batch)
            return (paid_by_last_token(capture.take(), batch),)

        with AttentionCapture(model, 1) as capture:
            return compute_in_batches(sequences, 200, "cpu", ("paid",), compute, "paid")[0]["paid"]

    np.testing.assert_allclose(paid(given), paid(given.expanded()), rtol=2e-4, atol=2e-6)


def test_one_answer_each_is_one_conversation_each() -> None:
    given = replace(conversations(), continues_N=None)
    made = given.conversations
    assert made.start_C.tolist() == list(range(sum(TURNS)))
    assert made.length_C.tolist() == given.length_N.tolist()
    assert made.offsets.tolist() == given.offsets.tolist()


def written(folder: Path, given: Sequences, **meta: Any) -> Path:
    values = {name: np.ones(given.response_offsets[-1], np.float32) for name in ("nll", "entropy")}
    write_scores(folder, given, values, META | meta)
    return folder


def test_a_folder_gives_back_its_conversations(tmp_path: Path) -> None:
    given = conversations()
    read = ScoresFolder(written(tmp_path / "scores", given)).sequences()
    for name in ("sample_id_N", "prompt_N", "response_N", "truncated_N", "ids_T", "row_N", "turn_N", "continues_N"):
        assert getattr(read, name).tolist() == getattr(given, name).tolist(), name


def test_single_answers_have_no_column_continues(tmp_path: Path) -> None:
    folder = written(tmp_path / "scores", conversations([1, 1, 1]))
    assert "continues" not in pq.read_schema(folder / "samples.parquet").names
    assert ScoresFolder(folder).sequences().continues_N is None


def test_shards_with_and_without_conversations_are_gathered(tmp_path: Path) -> None:
    parts = [
        written(tmp_path / "1", conversations([1, 1, 1]), shard=[1, 2]),
        written(tmp_path / "2", replace(conversations(), sample_id_N=conversations().sample_id_N + 100), shard=[2, 2]),
    ]
    gather(parts, tmp_path / "all")
    read = ScoresFolder(tmp_path / "all").sequences()
    assert read.conversations.turns_C.tolist() == [1, 1, 1, *TURNS]


def test_a_first_sample_that_continues_another_is_refused(tmp_path: Path) -> None:
    given = conversations([2, 1, 1])
    broken = written(tmp_path / "scores", given.take(np.arange(1, 4)))
    with refused(broken / "tokens.parquet", "sample_id 1"):
        ScoresFolder(broken).sequences()
