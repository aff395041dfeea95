"""Items of benchmarks in a training set: planted copies, against plain loops over words."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from prunegrid.cli import app
from prunegrid.core.errors import PrunegridError
from prunegrid.data import contamination
from prunegrid.data.contamination import Benchmark, contamination_sentence, find_contamination, without_examples
from support.results_folder import an_experiment

WORDS = [f"w{i}" for i in range(60)]
QUESTION = "A farmer has three fields of wheat and sells the grain of two of them in the town on Monday."  # 19 words
DATA = Path(os.environ.get("PRUNEGRID_DATA", "absent"))


def samples(*texts: str) -> list[tuple[int, Any]]:
    """Samples with the ids 10, 11, ...; each text is an answer behind the same question."""
    question = {"role": "user", "content": "Tell me."}
    return [(10 + i, [question, {"role": "assistant", "content": text}]) for i, text in enumerate(texts)]


def check(items: list[Any], *texts: str) -> dict[str, Any]:
    report: dict[str, Any] = find_contamination({"B": Benchmark(items)}, samples(*texts))["benchmarks"]["B"]
    return report


def reference(items: list[str], texts: list[str]) -> list[float]:
    """By plain loops: the share of each item's words that are in an n-gram of a text; n = 13, or a short item's all."""
    shares = []
    for item in items:
        words = item.split()
        n = min(13, len(words))
        covered: set[int] = set()
        for i in range(len(words) - n + 1):
            gram = words[i : i + n]
            if any(gram == given[j : j + n] for given in map(str.split, texts) for j in range(len(given))):
                covered.update(range(i, i + n))
        shares.append(len(covered) / len(words) if n >= 8 else 0.0)
    return shares


def test_shares_are_those_of_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items of 5 to 40 words; texts with pieces of them, compared a few at a time."""
    monkeypatch.setattr(contamination, "ROWS", 4)
    monkeypatch.setattr(contamination, "NAMED_ITEMS", 99)
    draw = random.Random(0)
    items = [" ".join(draw.choices(WORDS, k=draw.randint(5, 40))) for _ in range(80)]
    texts = []
    for _ in range(200):
        words = draw.choice(items).split()
        start = draw.randrange(len(words))
        piece = words[start : start + draw.randint(8, 30)]
        texts.append(" ".join([*draw.choices(WORDS, k=5), *piece, *draw.choices(WORDS, k=5)]))
    shares = reference(items, texts)
    report = check([{"question": item} for item in items], *texts)
    assert report["checked"] == sum(len(item.split()) >= 8 for item in items) < report["items"] == 80
    assert report["overlap"] == sum(share > 0 for share in shares) > 5
    assert report["copied"] == sum(share >= 0.8 for share in shares) > 2
    assert {item["row"]: item["share"] for item in report["named"]} == {
        row: round(share, 3) for row, share in enumerate(shares) if share
    }
    assert [item["share"] for item in report["named"]] == sorted((s for s in map(round3, shares) if s), reverse=True)


def round3(share: float) -> float:
    return round(share, 3)


def test_a_planted_copy_is_named_with_its_samples() -> None:
    """Capitals and punctuation do not count; the second sample has 14 of 19 words."""
    part = " ".join(QUESTION.split()[:14])
    items = [{"id": 5, "question": "Who built the old bridge over the river?"}, {"id": 6, "question": QUESTION}]
    report = check(items, "Nothing.", f"so {part.lower()}, and more", f'He said: "{QUESTION.upper()}"')
    assert (report["items"], report["checked"], report["overlap"], report["copied"]) == (2, 2, 1, 1)
    named = {"row": 1, "share": 1.0, "sample_ids": [11, 12], "words": QUESTION.lower().rstrip(".")}
    assert report["named"] == [named]


@pytest.mark.parametrize(("words", "overlap", "copied"), [(12, 0, 0), (13, 1, 0), (15, 1, 0), (16, 1, 1)])
def test_thirteen_words_overlap_and_four_fifths_are_a_copy(words: int, overlap: int, copied: int) -> None:
    """15 of 19 words are 79 %, 16 are 84 %."""
    report = check([{"question": QUESTION}], " ".join(QUESTION.split()[:words]))
    assert (report["overlap"], report["copied"]) == (overlap, copied)


@pytest.mark.parametrize(("words", "checked", "overlap"), [(7, 0, 0), (8, 1, 1), (12, 1, 1)])
def test_a_short_text_is_compared_whole(words: int, checked: int, overlap: int) -> None:
    text = " ".join(QUESTION.split()[:words])
    report = check([{"question": text}], QUESTION)
    assert (report["checked"], report["overlap"]) == (checked, overlap)
    assert check([{"question": text}], " ".join(QUESTION.split()[1:]))["overlap"] == 0


def test_texts_of_an_item_and_samples_are_compared_one_by_one() -> None:
    """No n-gram goes from one text into the next; lists and objects have texts, too."""
    first, second = " ".join(QUESTION.split()[:9]), " ".join(QUESTION.split()[9:])
    nested = {"choices": {"text": ["yes", second]}, "number": 3, "none": None}
    assert check([{"question": "x", **nested}], QUESTION)["overlap"] == 1
    assert check([{"question": first, **nested}], first[:-3], second[3:])["overlap"] == 0
    assert check([{"question": QUESTION}], first, second)["overlap"] == 0


def test_the_order_of_samples_changes_nothing() -> None:
    given = samples(QUESTION, "Nothing.", QUESTION + " Indeed.")
    records = [find_contamination({"B": Benchmark([{"q": QUESTION}])}, order) for order in (given, given[::-1])]
    assert records[0] == records[1]
    assert records[0]["benchmarks"]["B"]["named"][0]["sample_ids"] == [10]


@pytest.mark.parametrize("items", [[], [{"question": "Why?"}], [{"question": ""}], [{"number": 3}]])
def test_items_without_a_long_text_are_counted(items: list[Any]) -> None:
    report = check(items, QUESTION)
    assert report == {"items": len(items), "checked": 0, "overlap": 0, "copied": 0, "named": []}
    assert check([{"question": QUESTION}], *())["overlap"] == 0


def test_sentence_says_what_was_compared_and_found() -> None:
    benchmarks = {
        "A": {"items": 1319, "checked": 1300, "overlap": 1200, "copied": 3},
        "B": {"items": 5, "checked": 5, "overlap": 0, "copied": 0},
        "C": {"items": 7, "checked": 0, "overlap": 0, "copied": 0},
    }
    assert contamination_sentence({"words": 13, "least_words": 8, "benchmarks": benchmarks}) == (
        "Contamination: items that share 13 words in a row (or all of a text of at least 8) with a training sample: "
        "A 1,200 of 1,300 (3 copied), B 0 of 5, C none is so long, of 7."
    )


def test_the_line_of_examples_is_no_item() -> None:
    rows: list[dict[str, Any]] = [{"examples": [{"q": QUESTION}]}, {"q": "x"}, {"examples": "y", "q": "z"}]
    assert [*without_examples(rows)] == rows[1:]


def write_lines(file: Path, *rows: dict[str, Any]) -> str:
    file.write_text("\n".join(map(json.dumps, rows)))
    return str(file)


def test_command_names_items_and_files(tmp_path: Path, capsys: Any) -> None:
    data = write_lines(
        tmp_path / "train.jsonl", {"prompt": QUESTION, "response": "Two."}, {"prompt": "a", "response": "b"}
    )
    items = write_lines(tmp_path / "items.jsonl", {"question": "Why?"}, {"question": QUESTION})
    other = write_lines(tmp_path / "other.jsonl", {"text": "Another text of exactly eight words, not more."})
    app.main(["contamination", data, "--against", items, other])
    printed = capsys.readouterr()
    assert "rows: 2" in printed.err
    lines = printed.out.splitlines()
    assert lines[0].endswith(f"{items} 1 of 1 (1 copied), {other} 0 of 1.")
    assert lines[1:] == [f"{items}: row 1, 100%, sample_id 0: {QUESTION.lower().rstrip('.')}"]
    app.main(["contamination", data, "--against", items, "--json", "--ignore", "x"])
    record = json.loads(capsys.readouterr().out)
    assert (record["samples"], record["benchmarks"][items]["copied"]) == (2, 1)


def test_command_refuses_what_is_not_there(tmp_path: Path, capsys: Any) -> None:
    data = write_lines(tmp_path / "train.jsonl", {"prompt": "q", "response": "a"})
    for arguments in ([data, "--against", "absent.jsonl"], ["absent.jsonl", "--against", data]):
        with pytest.raises(SystemExit) as error:
            app.main(["contamination", *arguments])
        assert "absent.jsonl" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs PRUNEGRID_DATA")
def test_gsm8k_tests_share_word_runs_with_its_training_set(capsys: Any) -> None:
    """The figures of docs/how-to/find-benchmark-items.md."""
    folder = DATA / "openai/gsm8k/main"
    app.main(["contamination", str(folder / "train.jsonl"), "--against", str(folder / "test.jsonl"), "--json"])
    (report,) = json.loads(capsys.readouterr().out)["benchmarks"].values()
    assert (report["items"], report["checked"], report["overlap"], report["copied"]) == (1319, 1319, 9, 0)


def test_a_training_set_of_the_name_of_its_file_is_refused() -> None:
    dataset = {"name": "contamination", "path": "world.jsonl"}
    assert an_experiment(dataset=dataset).dataset.name == "contamination"
    with pytest.raises(PrunegridError, match="names the file of that check"):
        an_experiment(dataset=dataset, contamination=True)
