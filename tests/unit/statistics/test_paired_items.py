"""Pairing of items: one to one by hand, in whatever order they were written; what cannot be paired is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.statistics.paired_items import pair_items
from support.item_files import cell, put, rows

ONE, OTHER = cell("qtuning"), cell("random+random")


def test_pairs_by_hand(tmp_path: Path) -> None:
    """Two filters in each file, rows of the second backwards; items 0 and 2 share a passage."""
    first = pd.concat([rows([1, 0, 0.5], "aba"), rows([9, 9, 9], "aba", chosen="strict")])
    put(tmp_path, ONE, "SQuAD", first)
    put(tmp_path, OTHER, "SQuAD", pd.concat([rows([0, 1, 0.25], "aba")[::-1], rows([8, 8, 8], "aba", chosen="strict")]))
    found = pair_items(tmp_path, [ONE, OTHER], "SQuAD")
    assert found.values_CI.tolist() == [[1, 0, 0.5], [0, 1, 0.25]]
    assert found.cluster_I.tolist() == [0, 1, 0]


def test_same_doc_id_of_different_documents_is_not_paired(tmp_path: Path) -> None:
    other = rows([1, 0, 1])
    other.loc[1, "doc_hash"] = "elsewhere"
    with pytest.raises(PrunegridError, match=r"2 items \(doc_id 1\) in one only"):
        pair_of(tmp_path, rows([1, 0, 1]), other)


def pair_of(root: Path, one: pd.DataFrame, other: pd.DataFrame, **changes: Any) -> Any:
    put(root, ONE, "B", one)
    put(root, OTHER, "B", other, **changes)
    return pair_items(root, [ONE, OTHER], "B")


def changed(column: str, value: Any, at: int = 2) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(items: pd.DataFrame) -> pd.DataFrame:
        return items.assign(**{column: [value if i == at else old for i, old in enumerate(items[column])]})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[1:-1], r"2 items \(doc_id 0, 5\) in one only"),
        (lambda items: items[:1], r"5 items \(doc_id 1, 2, 3, \.\.\.\) in one only"),
        (changed("prompt_hash", "x"), r"1 item \(doc_id 2\) with different prompt_hash"),
        (changed("target_hash", "x"), r"1 item \(doc_id 2\) with different target_hash"),
        (changed("cluster", "x"), r"1 item \(doc_id 2\) with different cluster"),
    ],
)
def test_different_items_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    same = rows([1, 0, 1, 1, 0, 0])
    with pytest.raises(PrunegridError, match=message) as refusal:
        pair_of(tmp_path, same, change(same))
    one, other = (tmp_path / "evaluation" / of.model / of.path / "B.json" for of in (ONE, OTHER))
    assert str(refusal.value).startswith(f"{one} and {other} cannot be paired: ")
    assert f"evaluate both again (in a workflow: rm {one} {other}, then" in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: pd.concat([items, items[2:4]]), r"2 items \(doc_id 2, 3\) there twice"),
        (changed("value", np.nan), r"1 item \(doc_id 2\) with an empty field"),
        (lambda items: items.assign(filter="strict"), "no item of the filter none"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    same = rows([1, 0, 1, 1])
    with pytest.raises(PrunegridError, match=message) as refusal:
        pair_of(tmp_path, same, change(same))
    assert f"{OTHER.path}/B.parquet: " in str(refusal.value) and "evaluate it again" in str(refusal.value)


@pytest.mark.parametrize("key", ["protocol", "task", "task_version", "metric"])
def test_scores_of_different_kinds_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(PrunegridError, match=rf"cannot be paired: {key} is \S+ and 7"):
        pair_of(tmp_path, rows([1, 0]), rows([1, 0]), **{key: 7})


def test_different_filters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PrunegridError, match="filter is none and strict"):
        pair_of(tmp_path, rows([1, 0]), rows([1, 0], chosen="strict"), filter="strict")


def test_items_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    """The record of one run beside the items of another, though they have the same keys."""
    record = put(tmp_path, ONE, "B", rows([1, 0]))
    pq.write_table(pq.read_table(put(tmp_path, OTHER, "B", rows([1, 1])).with_suffix(".parquet")), tmp_path / "new")
    (tmp_path / "new").replace(record.with_suffix(".parquet"))
    with pytest.raises(PrunegridError, match=r"B\.parquet: its SHA-256 is .* not the items of that score; evaluate it"):
        pair_items(tmp_path, [OTHER, ONE], "B")


def test_a_record_of_an_older_version_is_refused(tmp_path: Path) -> None:
    record = put(tmp_path, ONE, "B", rows([1, 0]))
    files.write_json(record, {key: value for key, value in files.read_json(record).items() if key != "items_hash"})
    with pytest.raises(PrunegridError, match=r"B\.json: lacks items_hash; evaluate it again"):
        pair_items(tmp_path, [ONE, OTHER], "B")
