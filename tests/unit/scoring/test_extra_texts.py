"""Optional scores of ids and texts, worked by hand."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.core.errors import PrunegridError
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import Scoring
from prunegrid.models import load_tokenizer
from prunegrid.pruners import Needs
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.extra_texts import character_entropy, compressibility, instructions, selective_ifd
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from support.errors import refused

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "aab"},
    {"role": "assistant", "content": "no"},
    {"role": "user", "content": "abcd"},
    {"role": "assistant", "content": "yes, it is"},
]


def prepared(folder: Path, turns: str) -> Path:
    """Two rows: of two answers, and of one."""
    rows = [{"messages": TALK}, {"messages": TALK[1:3]}]
    (folder / "rows.json").write_text(json.dumps(rows))
    source, data = str(folder / "rows.json"), folder / f"{turns}.parquet"
    write_dataset(Dataset(name="toy", path=source, turns=turns), source, data, data.with_suffix(".json"))
    return data


@pytest.mark.parametrize("turns", ["each", "all"])
def test_instructions_are_the_texts_before_each_answer(turns: str, tmp_path: Path) -> None:
    expected = {0: "Be brief.aab", 1: "Be brief.aabnoabcd", 2: "aab"}
    assert dict(instructions(prepared(tmp_path, turns))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("aaaa", 0), ("ab", math.log(2)), ("aab", -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))],
)
def test_entropy_of_characters_in_nats(text: str, expected: float) -> None:
    assert character_entropy(text) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0 / 8),  # 2 bytes of header, 2 of an empty block, 4 of the check sum
        ("a", 1 / 9),
        ("abcdefgh", 8 / 16),
        ("\u00e9", 2 / 10),  # two bytes in UTF-8
        ("a" * 1000, 1000 / 17),
    ],
)
def test_compressibility_is_bytes_of_the_text_by_bytes_of_its_zlib_form(text: str, expected: float) -> None:
    assert compressibility(text) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("turns", ["each", "all"])
def test_columns_of_texts_and_ids(turns: str, tiny_model: Path, tmp_path: Path) -> None:
    data = prepared(tmp_path, turns)
    score(tiny_model, data, tmp_path / "scores", Scoring(max_length=200))
    columns: dict[str, Any] = {}
    for name in ("compression_ratio", "instruction_characters", "instruction_entropy", "prompt_candidates"):
        write_extra(name, tmp_path / "scores", tiny_model, tmp_path / f"{name}.parquet", Scoring(), data=data)
        columns[name] = pq.read_table(tmp_path / f"{name}.parquet")[name].to_pylist()
    assert columns["instruction_characters"] == [12, 18, 3]
    texts = ("Be brief.aab", "Be brief.aabnoabcd", "aab")
    np.testing.assert_allclose(columns["instruction_entropy"], [*map(character_entropy, texts)], rtol=1e-6)
    whole = ("Be brief.aabno", "Be brief.aabnoabcdyes, it is", "aabno")
    np.testing.assert_allclose(columns["compression_ratio"], [*map(compressibility, whole)], rtol=1e-6)
    tokenizer, rows = load_tokenizer(tiny_model), ScoresFolder(tmp_path / "scores").sequences().expanded()
    plain = [sum(token not in tokenizer.all_special_ids for token in rows.ids(row)[0]) for row in range(3)]
    assert columns["prompt_candidates"] == plain
    # The template ends the first answer with a special token: it stands in the second one's prompt.
    assert [prompt - count for prompt, count in zip(rows.prompt_N, plain, strict=True)] == [0, 1, 0]


def test_conversations_refuse_counts_of_one_answers_prompt(tiny_model: Path, tmp_path: Path) -> None:
    data, folder = prepared(tmp_path, "all"), ScoresFolder(tmp_path / "scores")
    score(tiny_model, data, folder.path, Scoring(max_length=200))
    for name in ("compression_ratio", "prompt_candidates", "sequence_entropy"):
        write_extra(name, folder.path, tiny_model, folder.extra_file(name), Scoring(), data=data)
    with refused("unit: conversation", "prompt_candidates", fix="unit: turn"):
        folder.read_samples(Needs(samples={"prompt_candidates": "test"}, tokens={}), unit="conversation")
    with refused("unit: conversation", "compression_ratio", fix="unit: turn"):
        folder.read_samples(Needs(samples={"compression_ratio": "test"}, tokens={}), unit="conversation")
    needs = Needs(samples={"sequence_entropy": "test"}, tokens={})
    turns, whole = (folder.read_samples(needs, unit).samples["sequence_entropy"] for unit in ("turn", "conversation"))
    assert whole.tolist() == turns[1:].tolist(), "the last answer's sequence is the whole conversation"


def test_selective_ifd_is_derived_from_the_losses_alone(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    folder = ScoresFolder(tmp_path / "scores")
    score(tiny_model, dataset, folder.path, Scoring(max_length=200))
    with refused(folder.tables["token"], "nll_alone", fix="prunegrid extra nll_alone"):
        write_extra("s_ifd", folder.path, tiny_model, folder.extra_file("s_ifd"), Scoring())
    for name in ("nll_alone", "s_ifd"):
        write_extra(name, folder.path, tiny_model, folder.extra_file(name), Scoring())
    scores = folder.read(Needs({"s_ifd": "test"}, {"nll": "test", "nll_alone": "test"}))
    difference = scores.token("nll") - scores.token("nll_alone")
    np.testing.assert_allclose(scores.samples["s_ifd"], selective_ifd(difference, scores.offsets), rtol=1e-6)
    assert len(np.unique(scores.samples["s_ifd"])) > 10


@pytest.mark.parametrize("name", ["instruction_characters", "instruction_entropy"])
def test_texts_that_are_not_there_are_named(name: str, tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    with refused(scores, "data set that was scored is missing", fix="copy it there"):
        write_extra(name, scores, tiny_model, tmp_path / "x.parquet", Scoring())
    other = prepared(tmp_path, "each")
    with refused(other, "no sample_id 3", fix="data set that was scored"):
        write_extra(name, scores, tiny_model, tmp_path / "x.parquet", Scoring(), data=other)
    shutil.copytree(scores, tmp_path / "scores")
    shutil.copy(other, tmp_path / "scores" / "data.parquet")
    with pytest.raises(PrunegridError, match="made for another data"):
        write_extra(name, tmp_path / "scores", tiny_model, tmp_path / "x.parquet", Scoring())
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("turns", ["each", "all"])
def test_ranks_of_duplicates_count_the_near_ones_before(turns: str, tiny_model: Path, tmp_path: Path) -> None:
    """Answers 0 and 1 of TALK; two copies of answer 0 and one of answer 1 with a blank; a talk of its own."""
    copy = [message | {"content": message["content"].upper()} for message in TALK[1:]]
    rows = [{"messages": talk} for talk in (TALK, TALK[1:3], copy, [TALK[1], {"role": "assistant", "content": "yes"}])]
    data = tmp_path / "data.parquet"
    write_dataset(Dataset(name="toy", path="rows", turns=turns), rows, data, data.with_suffix(".json"))
    score(tiny_model, data, tmp_path / "scores", Scoring(max_length=200))
    write_extra("duplicate_rank", tmp_path / "scores", tiny_model, tmp_path / "ranks.parquet", Scoring(), data=data)
    column = pq.read_table(tmp_path / "ranks.parquet")
    assert column.to_pydict() == {"sample_id": [0, 1, 2, 3, 4, 5], "duplicate_rank": [0, 0, 1, 2, 1, 0]}
