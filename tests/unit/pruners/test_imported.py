"""Imported scores, worked by hand, and against plain loops."""

from pathlib import Path

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw, PruningSpec
from prunegrid.pruners.methods.imported import check_directions
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

LENGTHS = [2, 3, 1, 4]
QUALITY = [3.0, 5.0, 5.0, 1.0]
TOKENS = [0.1, 0.2, 0.9, 0.3, 0.5, 0.7, 0.4, 0.8, 0.2, 0.6]
GIVEN = handmade_scores.scores(
    LENGTHS, samples={"quality": QUALITY, "deita": QUALITY[::-1]}, tokens={"quality": TOKENS}
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2]),
        ({"sample_direction": "lowest"}, [0, 3]),
        ({"sample_scores": "deita"}, [1, 2]),
        ({"sample_scores": "deita", "sample_direction": "lowest"}, [0, 3]),
    ],
)
def test_example_of_samples(options: dict[str, str], expected: list[int]) -> None:
    selection = pruners.select(GIVEN, spec("imported+random", 0.5, 1.0, **options), Draw(0))
    assert selection.sample_id.tolist() == expected


def test_ties_go_to_the_smaller_id() -> None:
    assert pruners.select(GIVEN, spec("imported+random", 0.25, 1.0), Draw(0)).sample_id.tolist() == [1]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("highest", [[1], [2], [0], [1, 3]]), ("lowest", [[1], [2], [0], [2, 3]])],
)
def test_example_of_tokens(direction: str, expected: list[list[int]]) -> None:
    """The end is kept and counts: of the last response, 0.4, 0.8, 0.2 and the end, it and one more."""
    given = spec("random+imported", 1.0, 0.5, token_direction=direction)
    selection = pruners.select(GIVEN, given, Draw(0))
    assert [selection.kept_positions(row).tolist() for row in range(4)] == expected


@pytest.mark.parametrize("direction", ["highest", "lowest"])
def test_agrees_with_plain_loops(direction: str) -> None:
    given = handmade_scores.random_scores(60, seed=3)
    settings = spec("imported+imported", 0.3, 0.6, sample_direction=direction, token_direction=direction)
    selection = pruners.select(given, settings, Draw(0))
    sign = 1 if direction == "highest" else -1
    ranked = sorted(range(60), key=lambda i: (-sign * given.samples["quality"][i], given.sample_id[i]))
    kept = sorted(ranked[:18], key=lambda i: int(given.sample_id[i]))
    assert selection.sample_id.tolist() == [int(given.sample_id[i]) for i in kept]
    for row, i in enumerate(kept):
        start, length = given.offsets[i], int(given.response_tokens[i])
        values = given.tokens["quality"][start : start + length]
        end = [] if given.truncated[i] else [length - 1]
        order = end + sorted((p for p in range(length) if p not in end), key=lambda p: (-sign * values[p], p))
        assert selection.kept_positions(row).tolist() == sorted(order[: max(1, length * 6 // 10)])


def test_only_the_order_of_scores_matters_and_not_that_of_rows() -> None:
    given = handmade_scores.random_scores(40, seed=5)
    settings = spec("imported+random", 0.3, 1.0)
    expected = pruners.select(given, settings, Draw(0)).sample_id.tolist()
    given.samples["quality"] = 7 * given.samples["quality"] - 3
    assert pruners.select(given, settings, Draw(0)).sample_id.tolist() == expected
    shuffled = given.take(np.random.default_rng(0).permutation(40))
    assert pruners.select(shuffled, settings, Draw(0)).sample_id.tolist() == expected


@pytest.mark.parametrize("n", [1, 5])
def test_equal_scores_keep_the_first_ids(n: int) -> None:
    given = handmade_scores.scores([1] * n, samples={"quality": [2.0] * n})
    selection = pruners.select(given, spec("imported+random", 0.4, 1.0), Draw(0))
    assert selection.sample_id.tolist() == list(range(max(1, 2 * n // 5)))


def test_labels_name_the_score() -> None:
    sample, token = pruners.find_pruners("imported+imported")
    options = {"sample_scores": "deita", "sample_direction": "highest"}
    assert sample.title(options) == "deita, highest"
    assert token.title({"token_scores": "influence", "token_direction": "lowest"}) == "influence, lowest"


def test_a_column_that_is_not_there_is_named() -> None:
    settings = PruningSpec(
        method="imported+random", options={"sample_scores": "mine"}, sample_ratio=0.5, token_ratio=1.0
    )
    with refused("the scores", "no sample column mine", fix="prunegrid extra mine --from FILE"):
        pruners.select(GIVEN, settings, Draw(0))


def test_the_worse_end_must_be_asked_for() -> None:
    directions = {"quality": "lowest", "deita": "highest"}
    check_directions("random+ppl", {}, directions)
    check_directions("imported+random", {"sample_scores": "deita"}, directions)
    check_directions("imported+imported", {"sample_direction": "highest", "token_direction": "lowest"}, directions)
    with refused("random+imported: token_direction", "quality", fix="token_direction: lowest"):
        check_directions("random+imported", {}, directions)


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    return handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(20))


def test_any_pruner_may_read_an_imported_column(judged: Path, plugin_folder: Path) -> None:
    """The example of docs/tutorials/own-pruner.md that reads a column of scores from elsewhere, as it stands there."""
    from prunegrid.api.scores import add_scores
    from prunegrid.api.selection import prune
    from support.docs import code_blocks

    (code,) = (block for block in code_blocks("docs/tutorials/own-pruner.md", "python") if '"deita"' in block)
    assert len(code.strip().splitlines()) <= 20
    (plugin_folder / "my_judged.py").write_text(code)
    ids = handmade_scores.random_scores(20).sample_id
    rows = "".join(f'{{"sample_id": {i}, "score": {k}}}\n' for k, i in enumerate(ids))
    (plugin_folder / "deita.jsonl").write_text(rows)
    add_scores(judged, "deita", plugin_folder / "deita.jsonl", source="a test")
    kept = prune(judged, "my_judged:good_and_hard+random", samples=5, out=plugin_folder / "out")
    nll = handmade_scores.random_scores(20).samples["nll"]
    hard = {int(ids[k]): nll[k] for k in range(10, 20)}
    assert kept.sample_ids == sorted(sorted(hard, key=lambda i: (-hard[i], i))[:5])
    assert kept.summary().extras["deita"]["source"] == "a test"
