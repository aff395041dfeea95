"""A selection cut in shards is the one that `prune` writes, row for row; parts of another choice are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.api.selection import Selection
from prunegrid.core import parts
from prunegrid.core.files import read_json, sha256
from prunegrid.pruners import JOINT, PruningSpec, Scores, joint_pruner
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.writer import gather as gather_scores
from prunegrid.scoring.writer import write_scores
from prunegrid.selection.choose import choose
from prunegrid.selection.cut import cut, gather, missing_shards
from prunegrid.selection.overlap import overlap
from prunegrid.selection.prune import prune
from support import handmade_scores
from support.conversations import conversations
from support.errors import refused
from support.handmade_scores import spec

METHODS = [
    ("random+random", {}),
    ("entropy+fastv", {}),
    ("infobatch+ppl", {"end_token": "drop"}),
    ("ifd+entropy", {}),
    ("random+token-cleaning", {}),
    ("longest+ppl", {"pool": "batch"}),
    ("random+ppl", {"candidates": "sequence"}),
    ("random+random", {"candidates": "sequence", "pool": "batch"}),
    ("qtuning", {}),
    ("qtuning", {"window": 7, "budget": "batch"}),
    ("qtuning", {"token_score": "random", "fill": "random"}),
    ("infobatch-original", {}),
    ("all", {"end_token": "drop"}),
    ("token-first", {}),
]


def in_shards(scores: Path, out: Path, given: PruningSpec, shards: int, **more: Any) -> Path:
    """`choose`, then the shards, the last first, then the summary; all rows of `read_parts`."""
    choose(scores, out / "choice.parquet", given, 1, **more)
    for number in range(shards, 0, -1):
        cut(out / "choice.parquet", (number, shards))
    gather(out / "choice.parquet", shards)
    return out


def assert_same(out: Path, whole: Path, shards: int) -> None:
    """The same rows, and the same summary but for what names the files."""
    table = parts.read_parts(out / "selection")
    assert table.combine_chunks().equals(pq.read_table(whole / "selection.parquet").combine_chunks())
    summary, expected = read_json(out / "selection.json"), read_json(whole / "selection.json")
    files = sorted((out / "selection").iterdir())
    assert [file.name for file in files] == [f"{i:05d}-of-{shards:05d}.parquet" for i in range(1, shards + 1)]
    assert summary.pop("shards") == shards
    assert summary.pop("selection") == sha256(*files)
    assert expected.pop("selection")
    assert summary == expected


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("method", "options"), METHODS, ids=lambda value: str(value))
def test_shards_give_the_selection_of_one(tmp_path: Path, method: str, options: dict[str, Any], ordered: bool) -> None:
    given = handmade_scores.sequence_scores(61)
    scores = handmade_scores.write(tmp_path / "scores", given.ordered() if ordered else given)
    pq.write_table(pq.read_table(scores / "tokens.parquet"), scores / "tokens.parquet", row_group_size=5)
    pruning = spec(method, 0.25, 0.5, **options)
    prune(scores, tmp_path / "whole", pruning, 1)
    out = in_shards(scores, tmp_path / "parts", pruning, 4)
    assert_same(out, tmp_path / "whole", 4)
    streamed = parts.stream_parts(out / "selection", ["sample_id", "kept"], [1, 0, 5])
    pieces = list(streamed)
    whole = pq.read_table(tmp_path / "whole/selection.parquet", columns=["sample_id", "kept"])
    assert [len(piece) for piece in pieces[:3]] == [1, 0, 5]
    assert pa.concat_tables(pieces).combine_chunks().equals(whole.combine_chunks())


def test_more_shards_than_samples_leave_empty_parts(tmp_path: Path) -> None:
    scores = handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(5))
    prune(scores, tmp_path / "whole", spec("qtuning"), 1)
    assert_same(in_shards(scores, tmp_path / "parts", spec("qtuning"), 9), tmp_path / "whole", 9)


def test_a_match_meets_counts_of_a_selection_in_shards(tmp_path: Path) -> None:
    scores = handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(60))
    matched = in_shards(scores, tmp_path / "qtuning", spec("qtuning", 0.25), 3) / "selection.json"
    prune(scores, tmp_path / "whole", spec("random+ppl", 0.25), 1, match=matched)
    out = in_shards(scores, tmp_path / "parts", spec("random+ppl", 0.25), 3, match=matched)
    assert_same(out, tmp_path / "whole", 3)
    assert read_json(out / "selection.json")["matched"]["tokens"] == read_json(matched)["kept_tokens"]


def scored(folder: Path, given: Sequences, shard: tuple[int, int] = (1, 1)) -> Path:
    """Scores that are a function of the samples alone, so that shards of a pass are parts of the whole."""
    ids = np.repeat(given.sample_id_N, given.response_N).astype(np.float64)
    places = np.arange(len(ids)) - np.repeat(given.response_offsets[:-1], given.response_N)
    values = {
        name: (np.abs(np.sin(ids * 3 + places * 7 + number)) + 0.1).astype(np.float32)
        for number, name in enumerate(("nll", "entropy", "fastv", "sparsevlm"))
    }
    meta = {
        "schema": 1, "digests": {}, "dtype": "float32", "head": "h", "max_length": 99, "left_out": {},
        "shard": list(shard), "samples": len(given), "fully_cut": 0, "truncated": 0, "tokens": 1, "positions": 1,
        "seconds": 1, "forward_seconds": 1,
    }  # fmt: skip
    write_scores(folder, given, values, meta)
    return folder


@pytest.mark.parametrize("shards", [2, 5])
@pytest.mark.parametrize("method", ["random+random", "qtuning", "loss+fastv"])
def test_conversations_stay_whole_in_shards(tmp_path: Path, method: str, shards: int) -> None:
    scores = scored(tmp_path / "scores", conversations())
    pruning = spec(method, 0.5, 0.3).model_copy(update={"unit": "conversation"})
    prune(scores, tmp_path / "whole", pruning, 1)
    assert_same(in_shards(scores, tmp_path / "parts", pruning, shards), tmp_path / "whole", shards)


def test_scores_of_several_nodes_give_the_selection_of_one(tmp_path: Path) -> None:
    given = conversations()
    starts = [*given.conversations.start_C.tolist(), len(given)]
    halves = [np.arange(0, starts[3]), np.arange(starts[3], len(given))]
    scores = scored(tmp_path / "scores", given)
    nodes = [scored(tmp_path / f"node{i}", given.take(rows), (i, 2)) for i, rows in enumerate(halves, 1)]
    gather_scores(nodes, tmp_path / "gathered")
    for method in ("random+random", "qtuning", "loss+fastv"):
        prune(scores, tmp_path / method / "whole", spec(method), 1)
        out = in_shards(tmp_path / "gathered", tmp_path / method / "parts", spec(method), 3)
        expected = pq.read_table(tmp_path / method / "whole/selection.parquet")
        assert parts.read_parts(out / "selection").combine_chunks().equals(expected.combine_chunks())


@pytest.fixture
def made(tmp_path: Path) -> Path:
    scores = handmade_scores.write(
        tmp_path / "scores", handmade_scores.random_scores(60), meta={"sha256": {}, "digests": {"model": "a"}}
    )
    return in_shards(scores, tmp_path / "out", spec("random+ppl"), 3)


def test_a_lost_part_is_cut_alone(made: Path) -> None:
    choice, before = made / "choice.parquet", {file: file.read_bytes() for file in (made / "selection").iterdir()}
    lost = made / "selection/00002-of-00003.parquet"
    lost.unlink()
    assert missing_shards(choice, 3) == [2]
    with refused(made / "selection", "2 parts", fix="cut"):
        parts.find_parts(made / "selection")
    cut(choice, (2, 3))
    assert {file: file.read_bytes() for file in before} == before
    assert missing_shards(choice, 3) == []


def test_parts_of_another_choice_are_refused(made: Path) -> None:
    choose(made.parent / "scores", made / "choice.parquet", spec("random+ppl"), 2)
    assert missing_shards(made / "choice.parquet", 3) == [1, 2, 3]
    with refused(made / "selection/00001-of-00003.parquet", "not part of the choice", fix="cut shard 1/3 again"):
        gather(made / "choice.parquet", 3)


def test_scores_that_changed_since_are_refused(made: Path) -> None:
    choice = made / "choice.parquet"
    meta = {"sha256": {"tokens.parquet": "0"}, "digests": {"model": "a"}}
    handmade_scores.write(made.parent / "scores", handmade_scores.random_scores(60, seed=1), meta=meta)
    with refused(made.parent / "scores", "tokens.parquet", fix="choose again"):
        cut(choice, (1, 3))
    (made.parent / "scores/meta.json").write_text(json.dumps({"digests": {"model": "b"}}))
    with refused(choice, "another model", fix="choose again"):
        cut(choice, (1, 3))


def test_samples_in_other_places_are_refused(made: Path) -> None:
    handmade_scores.write(made.parent / "scores", handmade_scores.random_scores(60, seed=1))
    with refused(made / "choice.parquet", "at these positions", fix="choose again"):
        cut(made / "choice.parquet", (1, 3))


def test_a_file_that_is_no_choice_is_refused(made: Path) -> None:
    with refused(made / "selection/00001-of-00003.parquet", "not a choice"):
        cut(made / "selection/00001-of-00003.parquet", (1, 3))


def test_a_new_selection_replaces_one_of_other_shards(made: Path) -> None:
    for number in (1, 2):
        cut(made / "choice.parquet", (number, 2))
    gather(made / "choice.parquet", 2)
    assert [file.name for file in parts.find_parts(made / "selection")] == [
        "00001-of-00002.parquet", "00002-of-00002.parquet"
    ]  # fmt: skip
    prune(made.parent / "scores", made, spec("random+ppl"), 1)
    assert sorted(path.name for path in made.iterdir()) == ["choice.parquet", "selection.json", "selection.parquet"]


def test_the_interface_reads_parts(made: Path, tmp_path: Path) -> None:
    prune(made.parent / "scores", tmp_path / "whole", spec("random+ppl"), 1)
    in_parts, whole = Selection.open(made), Selection.open(tmp_path / "whole")
    assert in_parts.sample_ids == whole.sample_ids
    assert in_parts.to_pandas().equals(whole.to_pandas())
    common = overlap(made, tmp_path / "whole")
    assert (common.samples, common.tokens) == (1.0, 1.0)


def test_a_joint_pruner_without_a_rank_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    @joint_pruner("unranked")
    def unranked(scores: Scores, draw: Any, sample_ratio: float, token_ratio: float) -> Any:
        raise AssertionError

    try:
        with refused("pruner unranked", "rank", fix="rank=..."):
            choose(tmp_path / "scores", tmp_path / "choice.parquet", spec("unranked"), 0)
    finally:
        del JOINT["unranked"]
