"""The noise that the published tables show, worked by hand."""

import pandas as pd
import pytest

from prunegrid.published import reruns

COLUMNS = ["model", "sample_ratio", "token_ratio", "sample_pruner", "token_pruner", "benchmark", "score"]


def row(
    sample_ratio: float, token_ratio: float, pruner: str, score: float, delta: float | None = None
) -> dict[str, object]:
    values = ["M", sample_ratio, token_ratio, "Random", pruner, "Avg", score]
    return dict(zip(COLUMNS, values, strict=True), published_delta=delta)


def test_noise_of_two_pairs_is_the_root_of_half_their_mean_square() -> None:
    pairs = [row(0.25, 0.5, "SparseVLM", 40.0), row(0.25, 0.7, "SparseVLM", 43.0),
             row(0.5, 0.5, "SparseVLM", 41.0), row(0.5, 0.7, "SparseVLM", 40.0)]  # fmt: skip
    noise = reruns.noise(pd.DataFrame(pairs)).iloc[0]
    assert noise["pairs"] == 2
    assert noise["sd"] == pytest.approx((10 / 4) ** 0.5)  # (3^2 + 1^2) / (2 x 2)
    assert noise["low"] < noise["sd"] < noise["high"]


def test_a_delta_is_beyond_the_noise_from_the_critical_value_on() -> None:
    pairs = [row(ratio, tokens, "SparseVLM", score)
             for ratio in (0.125, 0.25) for tokens, score in ((0.5, 40.0), (0.7, 42.0))]  # fmt: skip
    # sd = sqrt((4 + 4) / 4) = sqrt 2, so the difference of two runs has sd 2; t of 2 degrees of freedom is 4.303.
    deltas = [row(0.25, 0.5, "PPL", 50.0, 8.5), row(0.25, 0.7, "PPL", 50.0, -8.7)]
    judged = reruns.judged(pd.DataFrame([*pairs, *deltas]))
    assert judged["least"].tolist() == pytest.approx([8.605, 8.605], abs=1e-3)
    assert judged["beyond"].tolist() == [False, True]


def test_printed_pairs_are_twelve_a_model() -> None:
    noise = reruns.noise(reruns.printed_rows()).set_index(["model", "benchmark"])
    assert set(noise["pairs"]) == {12}
    assert noise.loc[("LLaMA2-7B", "Avg"), "sd"] == pytest.approx(0.262, abs=5e-4)
    assert noise.loc[("Mistral-7B", "GSM8K"), "sd"] == pytest.approx(1.646, abs=5e-4)


def test_q_tuning_on_average_is_beyond_the_noise_at_every_budget() -> None:
    counts = reruns.counts(reruns.printed_rows()).set_index(["model", "benchmark"])
    assert counts.loc[("LLaMA2-7B", "Avg"), "Q-Tuning"] == counts.loc[("Mistral-7B", "Avg"), "Q-Tuning"] == "6 of 6"
    assert counts.loc[("LLaMA2-7B", "ARC-C"), "Q-Tuning"] == "0 of 6"
