"""The answer that the figure of tokens shows: which sample, and what each pruner keeps of it."""

from pathlib import Path

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.figures import response
from prunegrid.figures.model_results import NothingToShow
from prunegrid.pruners import Draw
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.writer import write_scores
from support.conversations import conversations
from support.figures_folder import fill, many, worked_scores
from support.handmade_scores import spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fill` leaves; for reading only."""
    root = tmp_path_factory.mktemp("folder")
    fill(root)
    return root


def test_tokens_of_a_shared_budget_are_those_that_the_cells_keep(folder: Path) -> None:
    options = {"bisection_steps": 3, "budget": "batch", "end_token": "compete"}
    q3 = {"q3": {"method": "qtuning", **options}}
    experiment = many(variants=["random+random", q3], budgets=[{"sample_ratio": 0.5, "token_ratio": 0.9}])
    shown = response.read(folder, experiment, "m")
    given = ScoresFolder(folder / "scores/m").read_samples(pruners.needs("qtuning"))
    (block,) = ScoresFolder(folder / "scores/m").token_blocks(given, pruners.needs("qtuning"))
    selection = pruners.select(block, spec("qtuning", 0.5, 0.9, **options), Draw(0))
    row = selection.sample_id.tolist().index(shown.sample_id)
    assert selection.treated_as[row] == 2
    assert 0 < len(selection.kept_positions(row)) < len(shown.texts)
    assert shown.selections["qtuning"] == set(selection.kept_positions(row).tolist())


def test_an_answer_within_a_conversation_has_all_that_stands_before_it(tmp_path: Path) -> None:
    rows = conversations()
    values = {name: np.ones(rows.response_offsets[-1], np.float32) for name in ("nll", "entropy")}
    write_scores(tmp_path, rows, values, {})
    for row, whole in enumerate(map(rows.expanded().ids, range(len(rows)))):
        assert [*response._earlier_ids(ScoresFolder(tmp_path), row), *rows.ids(row)[0]] == whole[0]


def test_figures_of_single_answers_say_that_conversations_are_pruned(folder: Path) -> None:
    experiment = many().model_copy(update={"unit": "conversation"})
    with pytest.raises(NothingToShow, match="unit is conversation"):
        response.read(folder, experiment, "m")


def test_tokens_are_those_that_the_cells_keep(folder: Path) -> None:
    """The sample is 4: of the two that are Q2, with 12 and 13 tokens, the lower median."""
    experiment = many()
    shown = response.read(folder, experiment, "m")
    assert (shown.sample_id, shown.treated_as, shown.prompt) == (4, 2, "Why so?")
    assert "".join(shown.texts) == "No, it is 4."
    assert shown.selections["sparsevlm"] == "one layer only"
    for name in ("random", "ppl", "fastv"):
        all_samples = pruners.select(worked_scores(), spec(f"random+{name}", 1.0, 0.5), Draw(0))
        assert shown.selections[name] == set(all_samples.kept_positions(4).tolist())
    qtuning = pruners.select(worked_scores(), spec("qtuning", bisection_steps=3), Draw(0))
    assert qtuning.sample_id.tolist() == [0, 3, 4, 7]
    assert shown.selections["qtuning"] == set(qtuning.kept_positions(2).tolist())
