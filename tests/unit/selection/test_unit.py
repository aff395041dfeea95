"""`unit: conversation`: pruners see a conversation as one sample, and the selection has its answers."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.api import selection as api
from prunegrid.cli import app
from prunegrid.core.files import write_parquet
from prunegrid.core.ratios import read_amount
from prunegrid.pruners import Draw, MethodSpec, Needs, PruningSpec, Scores
from prunegrid.pruners.conversations import merge
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.writer import write_scores
from prunegrid.selection.budget import budget_spec
from prunegrid.selection.memory import ScoresInMemory
from prunegrid.selection.prune import prune
from support.conversations import TURNS, conversations
from support.errors import refused
from support.handmade_scores import spec

METHODS = ["random+random", "longest+ppl", "loss+fastv", "qtuning", "random+token-cleaning"]
NAMES = ("nll", "entropy", "fastv", "sparsevlm")


def scored(folder: Path, given: Sequences) -> Path:
    rng = np.random.default_rng(1)
    values = {name: rng.gamma(2.0, 1.0, given.response_offsets[-1]).astype(np.float32) for name in NAMES}
    write_scores(folder, given, values, {"schema": 1, "digests": {}})
    columns = {"sample_id": given.sample_id_N, "ifd": rng.uniform(0.2, 1.3, len(given)).astype(np.float32)}
    write_parquet(folder / "extra" / "ifd.parquet", pa.table(columns))
    lists = pa.ListArray.from_arrays(pa.array(given.response_offsets, pa.int32()), pa.array(values["nll"] + 1))
    table = pa.table({"sample_id": given.sample_id_N, "reference_nll": lists})
    write_parquet(folder / "extra" / "reference_nll.parquet", table)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scored(tmp_path / "scores", conversations())


def conversation_spec(method: str, **ratios: float) -> PruningSpec:
    return spec(method, **ratios).model_copy(update={"unit": "conversation"})


def test_a_conversation_has_the_mean_of_its_tokens(folder: Path) -> None:
    needs = Needs(samples=dict.fromkeys(["nll", "ppl", "ifd", "entropy"], "test"), tokens={"nll": "test"})
    scores, each = ScoresFolder(folder).read_samples(needs, "conversation"), ScoresFolder(folder).read(needs)
    assert scores.sample_id.tolist() == [0, 10, 20, 30, 40, 50]
    assert scores.truncated.tolist() == [False, False, True, False, False, False]
    (block,) = ScoresFolder(folder).token_blocks(scores, needs)
    assert block.tokens["nll"].tolist() == each.tokens["nll"].tolist()
    borders = np.concatenate([[0], np.cumsum(TURNS)])
    for i, (start, end) in enumerate(pairwise(borders)):
        nll = each.tokens["nll"][each.offsets[start] : each.offsets[end]]
        assert block.response_tokens[i] == len(nll)
        assert scores.samples["nll"][i] == pytest.approx(nll.mean(), rel=1e-5)
        assert scores.samples["ppl"][i] == pytest.approx(np.exp(nll.mean()), rel=1e-5)
        weight = each.response_tokens[start:end]
        ifd = np.exp(np.average(np.log(each.samples["ifd"][start:end]), weights=weight))
        assert scores.samples["ifd"][i] == pytest.approx(ifd)
        assert scores.prompt_tokens is not None and each.prompt_tokens is not None
        assert scores.prompt_tokens[i] == each.prompt_tokens[start:end].sum()


@pytest.mark.parametrize("method", METHODS)
def test_every_end_of_a_kept_conversation_is_kept(method: str, folder: Path, tmp_path: Path) -> None:
    summary = prune(folder, tmp_path / "out", conversation_spec(method, sample_ratio=0.5, token_ratio=0.1), 0)
    rows = pq.read_table(tmp_path / "out" / "selection.parquet").to_pylist()
    given = conversations()
    kept = {row["row"] for row in rows}
    assert len(kept) == summary.n_kept_samples < summary.n_samples == len(TURNS)
    assert summary.kept_tokens == sum(len(row["kept"]) for row in rows)
    lengths = dict(zip(given.sample_id_N.tolist(), given.response_N.tolist(), strict=True))
    ids = [i for i in given.sample_id_N[~given.truncated_N].tolist() if i // 10 in kept]
    by_id = {row["sample_id"]: row for row in rows}
    assert [by_id[i]["kept"][-1] for i in ids] == [lengths[i] - 1 for i in ids]
    assert all(row["sample_id"] == 10 * row["row"] + row["turn"] for row in rows)
    assert [row["sample_id"] for row in rows] == sorted(by_id)
    assert json.loads((tmp_path / "out" / "selection.json").read_text())["unit"] == "conversation"


def test_the_tokens_kept_are_the_conversations_best(folder: Path, tmp_path: Path) -> None:
    prune(folder, tmp_path / "out", conversation_spec("random+ppl", sample_ratio=1.0, token_ratio=0.6), 0)
    rows = pq.read_table(tmp_path / "out" / "selection.parquet").to_pylist()
    tokens = {row["sample_id"]: row for row in pq.read_table(folder / "tokens.parquet").to_pylist()}
    marked: dict[int, list[tuple[float, bool]]] = {}
    for row in rows:
        nll = tokens[row["sample_id"]]["nll"]
        for place, value in enumerate(nll[:-1]):  # ends are kept for another reason
            marked.setdefault(row["row"], []).append((value, place in row["kept"]))
    for row, values in marked.items():
        lost = [value for value, is_kept in values if not is_kept]
        assert lost, row
        assert max(value for value, is_kept in values if is_kept) <= min(lost)


def test_python_and_the_command_prune_conversations_alike(folder: Path, tmp_path: Path) -> None:
    made = api.prune(folder, "random+ppl", samples=3, tokens="50%", unit="conversation", out=tmp_path / "python")
    line = ["prune", "--scores", str(folder), "--pair", "random+ppl", "--samples", "3", "--tokens", "50%"]
    app.main([*line, "--unit", "conversation", "--out", str(tmp_path / "command")])
    tables = [pq.read_table(tmp_path / name / "selection.parquet") for name in ("python", "command")]
    assert tables[0].equals(tables[1])
    assert "3 of 6 conversations" in str(made)


@pytest.mark.parametrize("method", METHODS)
def test_conversations_of_one_answer_are_pruned_as_answers(method: str, tmp_path: Path) -> None:
    folder = scored(tmp_path / "scores", conversations([1] * 12))
    tables = []
    for unit in ("turn", "conversation"):
        prune(folder, tmp_path / unit, spec(method).model_copy(update={"unit": unit}), 3)
        tables.append(pq.read_table(tmp_path / unit / "selection.parquet").to_pylist())
    assert tables[0] == tables[1]


def test_answers_are_pruned_each_for_itself_by_default(folder: Path, tmp_path: Path) -> None:
    summary = prune(folder, tmp_path / "out", spec("longest+ppl", 0.25, 0.5), 0)
    assert (summary.n_samples, summary.n_kept_samples) == (sum(TURNS), sum(TURNS) // 4)
    assert "unit" not in json.loads((tmp_path / "out" / "selection.json").read_text())
    table = pq.read_table(tmp_path / "out" / "selection.parquet")
    assert table.column_names[:3] == ["sample_id", "row", "turn"]
    assert [10 * row["row"] + row["turn"] for row in table.to_pylist()] == table["sample_id"].to_pylist()


def test_scores_in_another_order_keep_the_same(folder: Path, tmp_path: Path) -> None:
    given = conversations()
    order = given.conversations.samples(np.array([3, 5, 0, 1, 4, 2]))
    other = tmp_path / "other"
    for name in ("samples", "tokens"):
        write_parquet(other / f"{name}.parquet", pq.read_table(folder / f"{name}.parquet").take(pa.array(order)))
    tables = []
    for source in (folder, other):
        prune(source, tmp_path / f"of-{source.name}", conversation_spec("loss+random"), 1)
        tables.append(pq.read_table(tmp_path / f"of-{source.name}" / "selection.parquet").to_pylist())
    assert tables[0] == tables[1]


def test_a_pair_meets_the_counts_of_conversations(folder: Path, tmp_path: Path) -> None:
    wanted = prune(folder, tmp_path / "a", conversation_spec("qtuning", sample_ratio=0.5, token_ratio=0.5), 0)
    match = tmp_path / "a" / "selection.json"
    made = prune(folder, tmp_path / "b", conversation_spec("random+ppl"), 0, match=match)
    assert (made.n_kept_samples, made.kept_tokens) == (wanted.n_kept_samples, wanted.kept_tokens)
    with refused(match, "unit: conversation"):
        prune(folder, tmp_path / "c", spec("random+ppl"), 0, match=match)


def test_a_count_of_tokens_is_not_exceeded_by_conversations(folder: Path, tmp_path: Path) -> None:
    amounts = read_amount("3", "--samples"), read_amount("30", "--tokens")
    method = MethodSpec(method="longest+ppl").complete()
    made = budget_spec(ScoresFolder(folder), method, *amounts, Draw(0), "conversation")
    summary = prune(folder, tmp_path / "out", made, 0)
    assert summary.n_kept_samples == 3
    assert 20 < summary.kept_tokens <= 30


def test_scores_without_rows_have_no_conversations(tmp_path: Path) -> None:
    folder = scored(tmp_path / "scores", replace(conversations(), row_N=None, continues_N=None))
    with refused(folder / "samples.parquet", "column row"):
        prune(folder, tmp_path / "out", conversation_spec("random+ppl"), 0)
    with refused("the scores", "one conversation"):
        ScoresInMemory(ScoresFolder(folder).read()).read_samples(Needs({}, {}), "conversation")


def test_taking_conversations_takes_their_answers() -> None:
    scores = Scores(
        sample_id=np.arange(4),
        response_tokens=np.array([2, 1, 3, 2]),
        truncated=np.array([False, False, True, False]),
        offsets=np.array([0, 2, 3, 6, 8]),
        tokens={"nll": np.arange(8.0)},
    )
    merged: Any = merge(scores, np.array([0, 2, 3])).take(np.array([2, 0]))
    assert merged.turns.sample_id.tolist() == [3, 0, 1]
    assert merged.turns.ends.tolist() == [1, 3, 4]
    assert merged.tokens["nll"].tolist() == [6.0, 7.0, 0.0, 1.0, 2.0]
    assert merged.least_tokens.tolist() == [1, 2]
