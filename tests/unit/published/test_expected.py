"""What published rows were trained on in two readings, worked by hand where it can be."""

import pytest

from prunegrid.cli import app
from prunegrid.experiment.variant import Budget
from prunegrid.pruners import AUTHORS, PAPER
from prunegrid.published.expected import second_cut, trained_on
from prunegrid.published.simulation import World

WORLD = World(mini_batches=150)


def budget(samples: float, tokens: float = 0.5) -> Budget:
    return Budget(sample_ratio=samples, token_ratio=tokens)


def test_the_second_cut_rounds_half_to_even_and_keeps_one() -> None:
    assert {ratio: second_cut(budget(ratio)) for ratio in (0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.5)} == {
        0.0625: 1, 0.125: 1, 0.1875: 2, 0.25: 2, 0.3125: 2, 0.5: 4,
    }  # fmt: skip


def test_a_pair_in_the_papers_reading_has_all_steps_and_its_budget() -> None:
    trained = trained_on("longest+ppl", budget(0.25), PAPER, WORLD)
    assert (trained.steps, trained.passes, trained.tokens, trained.ends) == (1, 0.25, 0.125, 0.25)


def test_random_as_the_copy_does_is_pruned_twice() -> None:
    """r of the steps, r^2 of the samples, half of their tokens, since prompt and response compete alike."""
    trained = trained_on("random+random", budget(0.25), AUTHORS, WORLD)
    assert (trained.steps, trained.passes, trained.ends) == (0.25, 0.0625, 0)
    assert trained.tokens == pytest.approx(0.0625 * 0.5, rel=0.05)


def test_infobatch_as_the_copy_does_has_a_whole_first_epoch() -> None:
    trained = trained_on("infobatch+random", budget(0.25), AUTHORS, WORLD)
    assert trained.steps == pytest.approx((1 + 2 * 0.25) / 3)
    assert trained.passes == pytest.approx((1 + 2 * 0.25) / 3 * 2 / 8)


def test_ppl_as_the_copy_does_takes_responses_before_prompts() -> None:
    """Prompts are 23 % of the tokens, so that 70 % are at most 0.7 / 0.77 of the response."""
    ppl, random = (
        trained_on(f"random+{token}", budget(0.5, 0.7), AUTHORS, WORLD).tokens for token in ("ppl", "random")
    )
    assert random < ppl <= 0.25 * 0.7 / 0.77 * 1.02


def test_fastv_as_the_copy_does_spends_its_budget_on_prompts() -> None:
    """Under uniform attention (0.5 - 0.23) / 0.77 = 35 % of the response, were all prompts of average length."""
    trained = trained_on("random+fastv", budget(0.25), AUTHORS, WORLD)
    assert trained.tokens == pytest.approx(0.0625 * 0.36, rel=0.08)


def test_what_depends_on_padding_is_not_computed() -> None:
    assert trained_on("random+sparsevlm", budget(0.25), AUTHORS, WORLD).tokens is None


def test_full_as_the_copy_does_learns_no_end() -> None:
    """So it has one token a sample less than all: simulated responses have about 309 (median 250, log-sd 0.65)."""
    paper, copy = (trained_on("full", budget(0.25), reading) for reading in (PAPER, AUTHORS))
    assert (paper.tokens, paper.ends) == (1, 1)
    assert copy.ends == 0 and copy.tokens == pytest.approx(1 - 1 / 309, abs=1e-4)


def test_q_tuning_has_all_steps_and_more_tokens_than_its_budget() -> None:
    for reading in (PAPER, AUTHORS):
        trained = trained_on("qtuning", budget(0.25), reading, WORLD)
        assert trained.steps == 1 and 0.24 < trained.passes < 0.27
        assert trained.tokens and trained.tokens > 0.125
    assert 0.1 < trained.ends < 0.24


def test_the_report_prints_both_readings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunegrid.published.expected_report.MINI_BATCHES", 40)
    app.main(["compare", "--reading", AUTHORS])
    shown = capsys.readouterr().out
    line = next(line for line in shown.split("12.5 \u00d7 50 %")[1].splitlines() if "any other + Random" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:7] == ["100", "12.5", "6.25", "12.5", "12.5", "1.56"] and cells[8] == "0"
