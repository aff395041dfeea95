"""What the sandbox writes only where it is asked for: sums for `query`, a simulated judge's grades for `scores`."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from prunegrid.experiment.inputs import optional_sets, score_file, world_files
from prunegrid.sandbox.data_sets import JUDGE, OPTIONAL_SETS, QUERIES
from prunegrid.sandbox.generate import Answers, write_optional, write_world
from prunegrid.sandbox.judge import BAD, DETECTION, ERROR, GOOD, grades
from support.errors import refused
from support.results_folder import an_experiment


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("answers", ["short", "long"])
def test_queries_are_neither_trained_nor_tested_and_the_world_stays(answers: Answers, tmp_path: Path) -> None:
    write_world(tmp_path / "world", 0, answers)
    folder = tmp_path / "world/sandbox"
    before = {file: file.read_bytes() for file in folder.rglob("*.jsonl")}
    for name in OPTIONAL_SETS:
        write_optional(tmp_path / "world" / f"{name}.jsonl", name, 0, answers)
    assert {file: file.read_bytes() for file in before} == before
    queries = rows(folder / "gsm8k/main/train.jsonl")
    questions = {row["question"] for row in queries}
    assert len(queries) == len(questions) == 50
    assert not questions & {row["question"] for row in rows(folder / "gsm8k/main/test.jsonl")}
    assert not {f"Question: {text}" for text in questions} & {
        row["prompt"] for row in rows(folder / "sft/default/train.jsonl")
    }
    assert {*queries[0]} == {"question", "answer"} and all("\n#### " in row["answer"] for row in queries)


@pytest.mark.parametrize("name", OPTIONAL_SETS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(name: str, tmp_path: Path) -> None:
    for file, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_optional(tmp_path / file, name, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_the_judge_sees_what_is_scrambled_and_half_of_what_is_wrong(tmp_path: Path) -> None:
    """Of 4,000 grades a group, cut off at 0 and 5: the mean of all good ones is below GOOD by 0.08."""
    kinds = [("known", []), ("scrambled", []), ("wrong", ["x"]), ("new_fact", ["x"]), ("duplicate", [])]
    given = grades([{"kind": kind, "wrong_words": words} for kind, words in kinds * 4000], seed=0)
    assert [row["row"] for row in given] == [*range(20_000)]
    assert all(0 <= row["score"] <= 5 for row in given)
    good, scrambled, wrong, slip, copy = ([row["score"] for row in given[k::5]] for k in range(5))
    assert mean(good) == pytest.approx(GOOD - 0.08, abs=0.05) and mean(copy) == pytest.approx(mean(good), abs=0.05)
    assert mean(scrambled) == pytest.approx(BAD, abs=0.05) and stdev(scrambled) == pytest.approx(ERROR, abs=0.05)
    half = DETECTION * mean(scrambled) + (1 - DETECTION) * mean(good)
    assert mean(wrong) == pytest.approx(half, abs=0.06) and mean(slip) == pytest.approx(half, abs=0.06)


def test_only_who_reads_them_has_the_optional_sets() -> None:
    sandbox: dict[str, Any] = {"sandbox": {"seed": 0}}
    query = {"name": "sums", "hub": "sandbox/gsm8k", "config": "main", "split": "train"}
    plain, asked = (an_experiment(**sandbox, **more) for more in ({}, {"query": query}))
    assert (optional_sets(plain), optional_sets(asked)) == ([], [QUERIES])
    assert world_files(plain) == world_files(asked), "the rule `world` has the same outputs"
    file = f"{plain.results}/world/{JUDGE}.jsonl"
    graded = an_experiment(**sandbox, scores={"quality": file, "other": "judge.jsonl"})
    assert optional_sets(graded) == [JUDGE] and score_file(graded, "m", "quality") == file
    with refused("scores.other.file", "judge.jsonl"):
        score_file(graded, "m", "other")
    without = an_experiment(scores={"quality": file})
    with refused("scores.quality.file", file):
        score_file(without, "m", "quality")
