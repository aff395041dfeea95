"""Conversations of several answers in training: one example each, with the gradient of a row for each answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from prunegrid.core.files import write_parquet
from prunegrid.experiment.training import Training
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import IGNORE, Answer, Example, build_conversation
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.samples import Samples
from prunegrid.training.schedule import schedule
from support.conversations import TURNS, conversations
from support.gradients import assert_same, built, gradients

ANSWERS = [
    Answer([1, 2], [10, 11, 12], [0, 2], 0.5),
    Answer([3], [20, 21], None),
    Answer([4, 5], [30, 31, 32], [1, 2], 0.5),
    Answer([6], [40, 41], None),
]
_ = IGNORE


def test_a_masked_conversation_keeps_its_context_and_ends_with_its_last_kept_answer() -> None:
    made = build_conversation(7, ANSWERS, "mask")
    assert made.ids == [1, 2, 10, 11, 12, 3, 20, 21, 4, 5, 30, 31, 32]
    assert made.labels == [_, _, 10, _, 12, _, _, _, _, _, _, 31, 32]
    assert made.positions == list(range(13))
    assert (made.sample_id, made.weight, made.weights, made.answers) == (7, 0.5, None, 2)


def test_a_dropped_token_is_gone_for_later_answers_and_a_whole_answer_is_context() -> None:
    made = build_conversation(7, ANSWERS, "drop")
    assert made.ids == [1, 2, 10, 12, 3, 20, 21, 4, 5, 31, 32]
    assert made.labels == [_, _, 10, 12, _, _, _, _, _, 31, 32]
    assert made.positions == [0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12]


def test_answers_of_different_weights_have_a_weight_a_token() -> None:
    made = build_conversation(7, [ANSWERS[0], ANSWERS[2]._replace(weight=2.0)], "mask")
    assert made.weights == [0.5, 0.5, 2.0, 2.0]
    assert made.weight == 1.25


def selection(path: Path, rows: Sequences, chosen: list[int], weights: list[float]) -> Path:
    """Every second token of the answers `chosen`, and their ends, in order of `sample_id`."""
    kept = [sorted({*range(0, int(rows.response_N[i]), 2), int(rows.response_N[i]) - 1}) for i in chosen]
    columns = {"sample_id": pa.array(rows.sample_id_N[chosen]), "kept": pa.array(kept, pa.list_(pa.int32()))}
    table = pa.table(columns | {"weight": pa.array(weights, pa.float32())})
    write_parquet(path, table.sort_by("sample_id"))
    return path


def examples(rows: Sequences, removal: str, path: Path | None) -> list[Example]:
    samples = Samples(rows, removal)
    if path:
        samples.select(path)
    return [samples[number] for number in range(len(samples.sample_id_C))]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 1.0, 1.0, 1.0], [0.5, 2.0, 1.0, 3.0, 1.0]])
def test_a_conversation_has_the_gradient_of_a_row_for_each_answer(
    weights: list[float] | None, packed: bool, tmp_path: Path
) -> None:
    rows = conversations(vocabulary=97)
    path = selection(tmp_path / "selection.parquet", rows, [0, 2, 3, 8, 9], weights) if weights else None
    merged, each = (examples(given, "mask", path) for given in (rows, rows.expanded()))
    assert len(merged) == (3 if weights else len(TURNS))
    assert len(each) == (5 if weights else sum(TURNS))
    assert sum(e.trainable for e in merged) == sum(e.trainable for e in each)
    assert sum(len(e.ids) for e in merged) < sum(len(e.ids) for e in each)
    model = built(attention=PACKED if packed else "sdpa")
    assert_same(gradients(model, [merged], packed), gradients(model, [each], packed))


def test_the_first_answers_of_a_dropped_conversation_have_the_gradient_of_a_row_each(tmp_path: Path) -> None:
    """What is dropped from an answer is no context of later ones, so only a conversation's first kept one is alike."""
    rows = conversations(vocabulary=97)
    path = selection(tmp_path / "selection.parquet", rows, [1, 3, 9], [1.0, 1.0, 1.0])
    merged, each = (examples(given, "drop", path) for given in (rows, rows.expanded()))
    assert [e.ids for e in merged] == [e.ids for e in each]
    model = built()
    assert_same(gradients(model, [merged], packed=True), gradients(model, [each], packed=True))


def test_scores_in_another_order_give_the_same_examples(tmp_path: Path) -> None:
    rows = conversations()
    shuffled = rows.take(rows.conversations.samples(np.array([3, 5, 0, 1, 4, 2])))
    path = selection(tmp_path / "selection.parquet", rows, [0, 2, 3, 8, 9], [1.0] * 5)
    former, second = ({e.sample_id: e for e in examples(given, "mask", path)} for given in (rows, shuffled))
    assert former == second


def test_batches_count_conversations() -> None:
    rows = conversations()
    samples = Samples(rows, "mask")
    training = Training(per_device_train_batch_size=2, gradient_accumulation_steps=1, ranks=1)
    plan = schedule(samples.sample_id_C, len(rows.conversations), training, 0, 0)
    assert [len(batch) for step in plan[:3] for batch in step] == [2, 2, 2]
    assert sorted(number for step in plan[:3] for batch in step for number in batch) == list(range(6))
    assert samples.sample_id_C.tolist() == rows.sample_id_N[rows.turn_N == 0].tolist()


def test_single_answers_are_trained_as_before() -> None:
    rows = replace(conversations([1] * 5), continues_N=None)
    made = examples(rows, "mask", None)
    assert [e.ids for e in made] == [rows.ids_T[rows.offsets[i] : rows.offsets[i + 1]].tolist() for i in range(5)]
