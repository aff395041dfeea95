"""Near duplicates: what is one, against exact Jaccard similarities by plain loops; what the filter drops and counts."""

import json
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.data.counts import intake_lines
from prunegrid.data.datasets import write_dataset
from prunegrid.data.minhash import NearDuplicates, join, ranks, signatures
from prunegrid.experiment.dataset import Dataset

POEM = "the ship left the harbour at noon and the crew sang until the lights of the town were gone behind the hill"
DIALOGUE = [
    {
        "role": "system",
        "content": "You are a patient teacher of arithmetic who never gives a result without its steps.",
    },
    {"role": "user", "content": POEM},
]


def convert(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> tuple[list[int], dict[str, Any]]:
    """The `row` of each sample that stays, and the counts."""
    dataset = Dataset(name="d", path="rows", **{"drop_duplicates": "near", **settings})
    write_dataset(dataset, rows, folder / "out.parquet", folder / "out.json")
    assert sorted(path.name for path in folder.iterdir()) == ["out.json", "out.parquet"]
    return pq.read_table(folder / "out.parquet")["row"].to_pylist(), json.loads((folder / "out.json").read_text())


def groups(texts: list[tuple[str, str]], size: int = 7) -> list[int]:
    with NearDuplicates() as collected:
        for start in range(0, len(texts), size):
            collected.add(texts[start : start + size])
        return collected.firsts().tolist()


def shingles(text: str) -> set[tuple[str, ...]]:
    """Every five words of a text that has at least five."""
    words = text.lower().replace(",", "").replace(".", "").split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def changed(text: str, places: int, draw: random.Random) -> str:
    words = text.split()
    for place in draw.sample(range(len(words)), places):
        words[place] = f"other{draw.randrange(10**6)}"
    return " ".join(words)


def texts_in_groups(number: int, seed: int) -> list[str]:
    """Texts of 150 words; a third are copies of an earlier one with two or forty changed words."""
    draw = random.Random(seed)
    texts: list[str] = []
    for i in range(number):
        if i % 3 == 2:
            texts.append(changed(draw.choice(texts), draw.choice([0, 2, 40]), draw))
        else:
            texts.append(" ".join(f"w{draw.randrange(400)}" for _ in range(150)))
    return texts


def test_groups_are_those_of_exact_similarities() -> None:
    """The reference compares every pair and walks over the pairs of at least 0.8; none is near that border."""
    texts = texts_in_groups(150, seed=1)
    firsts = list(range(len(texts)))
    close = [(a, b) for a, b in combinations(range(len(texts)), 2) if jaccard(texts[a], texts[b]) >= 0.8]
    for _ in texts:
        for a, b in close:
            firsts[a] = firsts[b] = min(firsts[a], firsts[b])
    assert groups([(text, text) for text in texts]) == firsts
    assert len({*firsts}) < len(texts) - 10


def test_signatures_estimate_the_similarity() -> None:
    """120 hash functions have a standard deviation of at most 0.046: four of them, and the mean of 40 pairs."""
    draw, text = random.Random(2), " ".join(f"w{i}" for i in range(200))
    pairs = [(text, changed(text, draw.randint(1, 30), draw)) for _ in range(40)]
    estimates = np.array([np.equal(*signatures(pair)).mean() for pair in pairs])
    exact = np.array([jaccard(*pair) for pair in pairs])
    assert np.abs(estimates - exact).max() < 4 * 0.046
    assert abs((estimates - exact).mean()) < 4 * 0.046 / 40**0.5


@pytest.mark.parametrize(
    ("other", "near"),
    [
        (POEM.upper() + "!", True),  # capitals and punctuation
        (POEM.replace("ship", "boat"), True),  # 2 of 18 shingles: 16 / 20
        (POEM.replace("noon", "dawn"), False),  # 5 of 18 shingles: 13 / 23
        ("", False),
        ("the ship left", False),
    ],
)
def test_a_changed_word_counts_by_the_shingles_it_is_in(other: str, near: bool) -> None:
    texts = [f"{POEM} {POEM[::-1]} {POEM[::2]}" if near else POEM, other]
    if near:
        texts[1] = f"{other} {POEM[::-1]} {POEM[::2]}"
    assert (groups([(text, text) for text in texts]) == [0, 0]) is near


@pytest.mark.parametrize(
    ("answers", "rows"),
    [
        (["Paris", "Denver"], [0, 1]),  # questions about one passage
        (["Paris", "paris."], [0]),
        (["a b", "a b c"], [0, 1]),  # texts below five words are equal or not
        (["!?", "!?"], [0]),
        (["!?", "??"], [0, 1]),
        (["这是一个很长的回答", "这是一个很长的问题"], [0, 1]),
    ],
)
def test_samples_with_one_prompt_are_near_only_if_their_answers_are(
    answers: list[str], rows: list[int], tmp_path: Path
) -> None:
    kept, _ = convert(tmp_path, [{"prompt": POEM * 3, "response": answer} for answer in answers])
    assert kept == rows


def test_a_system_message_and_earlier_turns_make_no_near_duplicates(tmp_path: Path) -> None:
    """Turns of one conversation repeat what stands before them."""
    talk = [*DIALOGUE, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
    rows = [
        {"messages": [*talk, {"role": "assistant", "content": "Because it was noon."}]},
        {"messages": [*talk[1:], {"role": "assistant", "content": "Because it was noon."}]},
        {"messages": [DIALOGUE[0], {"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}]},
        {"messages": [DIALOGUE[0], {"role": "user", "content": "3 + 1"}, {"role": "assistant", "content": "4"}]},
    ]
    kept, counts = convert(tmp_path, rows)
    assert kept == [0, 0, 2, 3]
    assert counts["left_out"]["near_duplicate"] == 2


def test_the_filter_keeps_the_first_and_counts_exact_and_near_ones(tmp_path: Path) -> None:
    long = f"{POEM} {POEM[::-1]}"
    rows = [{"prompt": "q", "response": text} for text in (long, "other", long, long.capitalize(), "another", long)]
    kept, counts = convert(tmp_path, rows)
    assert kept == [0, 1, 4]
    assert counts["left_out"] == {
        "empty_response": 0, "empty_prompt": 0, "duplicate": 2, "near_duplicate": 1, "over_max_samples": 0
    }  # fmt: skip
    assert (counts["duplicates"], counts["near_duplicates"], counts["samples"]) == (2, 1, 3)
    assert counts["rows_left_out"] == {"duplicate": 2, "near_duplicate": 1}
    assert [line for line in intake_lines(counts) if "dup" in line] == [
        "left out: duplicates: 2",
        "left out: near duplicates: 1",
    ]


def test_exact_duplicates_alone_count_as_before(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": text} for text in (POEM, POEM.upper(), POEM)]
    kept, counts = convert(tmp_path, rows, drop_duplicates=True)
    assert kept == [0, 1]
    assert "near_duplicate" not in counts["left_out"]
    assert "near_duplicates" not in counts


def test_the_order_of_rows_changes_which_one_stays_and_no_group(tmp_path: Path) -> None:
    texts = texts_in_groups(60, seed=3)
    order = np.random.default_rng(0).permutation(60)
    firsts, shuffled = (groups([(t, t) for t in given]) for given in (texts, [texts[i] for i in order]))
    first_of = {number: shuffled[place] for place, number in enumerate(order.tolist())}
    pairs = combinations(range(60), 2)
    assert all((firsts[a] == firsts[b]) == (first_of[a] == first_of[b]) for a, b in pairs)


@pytest.mark.parametrize("number", [0, 1, 30])
def test_equal_and_single_texts(number: int) -> None:
    assert groups([(POEM, "yes")] * number) == [0] * number


def test_a_chain_of_pairs_is_one_group() -> None:
    firsts = np.arange(6)
    join(firsts, np.array([5, 4, 2]), np.array([4, 2, 1]))
    assert firsts.tolist() == [0, 1, 1, 3, 1, 1]
    assert ranks(firsts).tolist() == [0, 0, 1, 0, 2, 3]
    assert ranks(np.arange(0)).tolist() == []
