"""`prune` on a hand-made scores directory: the files of the contract, or a clear word and no files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid import __version__, pruners
from prunegrid.core import files, randomness
from prunegrid.pruners import Draw, PruningSpec
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.cut import selection_table
from prunegrid.selection.prune import prune
from prunegrid.selection.summary import SelectionSummary
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

SCHEMA = {
    "sample_id": pa.int64(),
    "weight": pa.float32(),
    "kept": pa.list_(pa.int32()),
    "quadrant": pa.int8(),
    "reason": pa.string(),
    "treated_as": pa.int8(),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(60))


def run(directory: Path, method: str = "random+ppl", **given: Any) -> SelectionSummary:
    """`given`: what differs from the usual spec, and the arguments of `prune`."""
    values = {key: given.pop(key) for key in PruningSpec.model_fields if key in given}
    spec = PruningSpec(**{"method": method, "sample_ratio": 0.25, "token_ratio": 0.5} | values)
    return prune(directory, directory.parent / "out", spec, **{"seed": 1} | given)


def refuses(directory: Path, where: object, what: object, fix: str | None = None, **given: Any) -> None:
    """The call is refused, and nothing is left behind."""
    with refused(where, what, fix=fix):
        run(directory, **given)
    out = directory.parent / "out"
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize("method", ["random+ppl", "entropy+fastv", "qtuning"])
def test_files_follow_the_contract(directory: Path, method: str) -> None:
    summary = run(directory, method)
    out = directory.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == ["selection.json", "selection.parquet"]
    assert SelectionSummary.read(out / "selection.json") == summary
    table = pq.read_table(out / "selection.parquet")
    assert {field.name: field.type for field in table.schema} == SCHEMA
    ids = table["sample_id"].to_pylist()
    assert ids == sorted(ids)
    assert len(ids) == 15
    assert all(kept == sorted(set(kept)) for kept in table["kept"].to_pylist())
    assert set(table["weight"].to_pylist()) == {1.0}


def test_summary_by_hand(tmp_path: Path) -> None:
    scores = handmade_scores.scores([4, 2, 6], samples={"nll": [1, 3, 2]}, tokens={"nll": range(12)})
    directory = handmade_scores.write(tmp_path / "scores", scores, prompt_tokens=10, meta={"digests": {"model": "abc"}})
    run(directory, "infobatch+ppl", variant="mine", sample_ratio=0.7, token_ratio=0.5, seed=3)
    pruning = randomness.derive_seed(3, "pruning")
    assert files.read_json(tmp_path / "out/selection.json") == {
        "mode": "static",
        "variant": "mine",
        "method": "infobatch+ppl",
        "options": {},
        "match": None,
        "selection": files.sha256(tmp_path / "out/selection.parquet"),
        "foreign_pruners": {},
        "extras": {},
        "nominal": {"samples": 0.7, "tokens": 0.5},
        "realised": {"samples": 2 / 3, "response_tokens": 4 / 12, "all_tokens": (20 + 4) / 42},
        "realised_token_ratio": 4 / 8,
        "n_samples": 3,
        "n_kept_samples": 2,
        "kept_tokens": 4,
        "truncated": 0,
        "only_end": 1,
        "counts": {"quadrant": {"0": 2}, "reason": {"rank": 2}, "treated_as": {"0": 2}},
        "seeds": {"cell": 3, "pruning": pruning},
        "digests": {"model": "abc"},
        "scores": "../scores",
        "inputs": {
            f"../scores/{name}": files.sha256sum(directory / name) for name in ("samples.parquet", "tokens.parquet")
        },
        "version": __version__,
    }


def test_qtuning_tells_options_thresholds_and_corners(directory: Path) -> None:
    summary = run(directory, "qtuning", options={"window": 25})
    assert summary.options == pruners.complete_options("qtuning", {"window": 25})
    assert [actual["samples"] for actual in summary.thresholds] == [25, 25, 10]
    assert sum(summary.corners.values()) == 60
    assert sum(summary.counts["reason"].values()) == summary.n_kept_samples == 6 + 6 + 2


def test_what_is_read_is_what_was_written(directory: Path) -> None:
    given = handmade_scores.random_scores(60)
    scores = ScoresFolder(directory).read(pruners.needs("qtuning"))
    assert np.array_equal(scores.sample_id, given.sample_id)
    assert np.array_equal(scores.truncated, given.truncated)
    assert np.array_equal(scores.offsets, given.offsets)
    assert np.array_equal(scores.tokens["nll"], given.tokens["nll"].astype(np.float32))
    assert sorted(scores.samples) == ["entropy", "ppl"]
    assert sorted(scores.tokens) == ["nll"]


def test_columns_may_come_from_extra(directory: Path) -> None:
    given = handmade_scores.random_scores(60)
    path = directory / "samples.parquet"
    files.write_parquet(path, pq.read_table(path).drop_columns(["entropy"]))
    refuses(directory, path, "sample column entropy", fix="prunegrid extra entropy --from", method="entropy+ppl")
    handmade_scores.write_extra(directory, "entropy", given, given.samples["entropy"])
    assert run(directory, "entropy+ppl").n_kept_samples == 15


def test_a_missing_token_column_names_the_pruner(directory: Path) -> None:
    path = directory / "tokens.parquet"
    files.write_parquet(path, pq.read_table(path).drop_columns(["fastv"]))
    refuses(directory, path, "fastv needs (columns: sample_id", method="random+fastv")
    assert run(directory, "random+ppl").n_kept_samples == 15


@pytest.mark.parametrize("name", ["samples.parquet", "tokens.parquet"])
def test_a_truncated_file_says_how_to_repair_it(directory: Path, name: str) -> None:
    content = (directory / name).read_bytes()
    (directory / name).write_bytes(content[: len(content) // 2])
    refuses(directory, directory / name, "damaged", fix="rm ")


def test_a_failed_write_leaves_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        run(directory)
    assert not (directory.parent / "out").exists()


def test_rows_in_another_order_are_refused(directory: Path) -> None:
    path = directory / "tokens.parquet"
    files.write_parquet(path, pq.read_table(path)[::-1])
    refuses(directory, directory / "tokens.parquet", "same order", fix="score again")


def test_lists_of_another_length_are_refused(directory: Path) -> None:
    path = directory / "samples.parquet"
    table = pq.read_table(path)
    lengths = table["response_tokens"].to_numpy().copy()
    lengths[0] += 1
    files.write_parquet(path, table.set_column(2, "response_tokens", pa.array(lengths)))
    what = f"nll of sample_id {table['sample_id'][0]} does not have the {lengths[0]} values"
    refuses(directory, directory / "tokens.parquet", what)


def test_a_null_is_not_finite(directory: Path) -> None:
    path = directory / "samples.parquet"
    table = pq.read_table(path)
    values = [None, *table["nll"].to_pylist()[1:]]
    column = table.schema.get_field_index("nll")
    files.write_parquet(path, table.set_column(column, "nll", pa.array(values, pa.float32())))
    what = f"nan for sample_id {table['sample_id'][0]}"
    refuses(directory, "sample column nll", what, method="infobatch+ppl")


def test_digests(tmp_path: Path) -> None:
    meta = {"schema": 1, "digests": {"model": "a" * 64, "data": "b" * 64}}
    directory = handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(8), meta=meta)
    expected = {"model": "a" * 64, "data": "c" * 64, "template": "d" * 64}
    what = "another data (data bbbbbbbbbbbb instead of cccccccccccc)"
    refuses(directory, directory, what, fix="score again", expected_digests=expected)
    summary = run(directory, expected_digests={**expected, "data": "b" * 64})
    assert summary.digests == meta["digests"]


def test_another_schema_is_refused(tmp_path: Path) -> None:
    directory = handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(8), meta={"schema": 99})
    refuses(directory, directory / "meta.json", "schema 99", fix="score again")


@pytest.mark.parametrize(
    ("given", "where", "what", "fix"),
    [
        ({"method": "random+pppl"}, "pppl", "token pruner", "did you mean ppl"),
        ({"options": {"colour": 1}}, "random+ppl", "option 'colour'", "known: ppl, end_token"),
        ({"sample_ratio": 1.4}, "sample_ratio", 1.4, "(0, 1]"),
        ({"token_ratio": 0}, "token_ratio", 0.0, "(0, 1]"),
    ],
)
def test_bad_requests(directory: Path, given: dict[str, Any], where: str, what: object, fix: str) -> None:
    refuses(directory, where, what, fix, **given)


def test_no_directory(tmp_path: Path) -> None:
    refuses(tmp_path / "nowhere", tmp_path / "nowhere/samples.parquet", "no such file")


def test_selection_of_shuffled_rows_is_the_same_file(directory: Path) -> None:
    given = handmade_scores.random_scores(60)
    run(directory, "qtuning")
    first = pq.read_table(directory.parent / "out" / "selection.parquet")
    handmade_scores.write(directory, given.take(np.random.default_rng(0).permutation(60)))
    run(directory, "qtuning")
    assert pq.read_table(directory.parent / "out" / "selection.parquet").equals(first)


@pytest.mark.parametrize("method", ["qtuning", "random+ppl", "random+random", "random+token-cleaning", "ifd+entropy"])
@pytest.mark.parametrize("ordered", [True, False])
def test_blocks_and_row_groups_change_nothing(
    tmp_path: Path, method: str, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamed in blocks of about four rows from row groups of 5, and in memory at once."""
    given = handmade_scores.random_scores(60)
    given = given.ordered() if ordered else given
    directory = handmade_scores.write(tmp_path / "scores", given)
    table = pq.read_table(directory / "tokens.parquet")
    pq.write_table(table, directory / "tokens.parquet", row_group_size=5)
    monkeypatch.setattr("prunegrid.scoring.reader.BLOCK_TOKENS", 200)
    run(directory, method)
    actual = pq.read_table(tmp_path / "out" / "selection.parquet")
    whole = pruners.select(
        ScoresFolder(directory).read(pruners.needs(method)),
        spec(method, 0.25, 0.5),
        Draw(1),
    )
    assert actual.combine_chunks().equals(selection_table(whole).combine_chunks())


def test_a_null_in_a_later_block_names_its_sample(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunegrid.scoring.reader.BLOCK_TOKENS", 200)
    path = directory / "tokens.parquet"
    table = pq.read_table(path)
    values = table["nll"].to_pylist()
    values[50][0] = float("nan")
    column = table.schema.get_field_index("nll")
    files.write_parquet(path, table.set_column(column, "nll", pa.array(values, pa.list_(pa.float32()))))
    refuses(directory, "token column nll", f"nan for sample_id {table['sample_id'][50]} at position 0")
    assert not (directory.parent / "out").exists()


def test_tokens_that_end_too_early_are_refused(directory: Path) -> None:
    path = directory / "tokens.parquet"
    files.write_parquet(path, pq.read_table(path)[:40])
    refuses(directory, directory / "tokens.parquet", "same order", fix="score again")


def test_why_a_column_was_left_out_is_told(directory: Path) -> None:
    path = directory / "tokens.parquet"
    files.write_parquet(path, pq.read_table(path).drop_columns(["fastv"]))
    files.write_json(directory / "meta.json", {"left_out": {"fastv": "the attention of a gpt2 cannot be reached"}})
    refuses(directory, path, "fastv needs: the attention of a gpt2 cannot be reached", method="random+fastv")


def test_more_tokens_than_samples_are_refused(directory: Path) -> None:
    path = directory / "samples.parquet"
    files.write_parquet(path, pq.read_table(path)[:40])
    refuses(directory, directory / "tokens.parquet", "same order", fix="score again")


def test_an_optional_score_of_other_data_is_refused(tmp_path: Path) -> None:
    given = handmade_scores.random_scores(60)
    directory = handmade_scores.write(tmp_path / "scores", replace(given, samples={"ppl": given.samples["ppl"]}))
    files.write_json(directory / "meta.json", {"digests": {"data": "a" * 64}})
    handmade_scores.write_extra(directory, "ifd", given, given.samples["ifd"])
    assert run(directory, "ifd+random").extras == {"ifd": {}}, "a hand-made one has no digests"
    path = directory / "extra" / "ifd.parquet"
    made_from = {b"prunegrid": json.dumps({"data": "b" * 64, "reference": "c" * 64})}
    files.write_parquet(path, pq.read_table(path).replace_schema_metadata(made_from))
    with refused(path, "another data"):
        run(directory, "ifd+random")
