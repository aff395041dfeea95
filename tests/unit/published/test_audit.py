"""The audit of the published tables: every finding, the tolerances, and the figures that the docs show."""

import pandas as pd
import pytest

from prunegrid.published import audit, audit_report
from support.snakemake_runs import ROOT

V1 = {
    (1, "Mistral-7B", "12.5x70", "Random+SparseVLM", "Avg", "average", 38.58, 38.556),
    (1, "Mistral-7B", "12.5x70", "Entropy+PPL", "GSM8K", "delta", 0.68, -0.31),
    (1, "LLaMA2-7B", "25x50", "InfoBatch+PPL", "ARC-E", "delta", 0.47, -0.36),
}
V2 = {
    (8, "Mistral-7B", "12.5x70", "Random+SparseVLM", "Avg", "average", 38.58, 38.556),
    (12, "Mistral-7B", "25x70", "Q-Tuning+Q-Tuning", "Avg", "average", 24.56, 24.035),
    (12, "Mistral-7B", "50x70", "Q-Tuning+Q-Tuning", "Avg", "average", 26.57, 27.105),
    (13, "Mistral-7B", "25x50", "Alpagasus+Random", "Avg", "average", 42.78, 42.854),
    (8, "Mistral-7B", "12.5x70", "Entropy+PPL", "GSM8K", "delta", 0.68, -0.31),
    (8, "LLaMA2-7B", "25x50", "InfoBatch+PPL", "ARC-E", "delta", 0.47, -0.36),
    (9, "LLaMA2-7B", "25x70", "InfoBatch+PPL", "ARC-E", "delta", 0.35, -0.35),
    (9, "LLaMA2-7B", "25x70", "InfoBatch+PPL", "SQuAD", "delta", 0.55, -0.03),
    (9, "Mistral-7B", "25x70", "InfoBatch+FastV", "GSM8K", "delta", -5.21, -4.32),
    (9, "Mistral-7B", "50x50", "InfoBatch+Random", "ARC-E", "delta", 0.17, -0.17),
    (9, "Mistral-7B", "50x50", "Entropy+FastV", "TriviaQA", "delta", -0.24, 0.24),
    (10, "Qwen3-8B", "12.5x50", "Entropy+SparseVLM", "SQuAD", "delta", -13.00, -12.97),
    (10, "Qwen3-8B", "25x50", "InfoBatch+PPL", "TriviaQA", "delta", 3.00, 2.98),
    (11, "Qwen3-8B", "50x50", "Entropy+PPL", "GSM8K", "delta", -8.61, -8.64),
    (11, "Qwen3-8B", "50x50", "Entropy+FastV", "SQuAD", "delta", 3.58, 3.60),
    (11, "Qwen3-8B", "50x70", "Entropy+SparseVLM", "TriviaQA", "delta", 7.79, 7.35),
    (13, "Mistral-7B", "12.5x50", "Deita+Random", "GSM8K", "delta", -0.23, 0.23),
    (13, "Mistral-7B", "12.5x50", "DS2+Random", "ARC-E", "delta", -0.70, 0.70),
    (13, "Mistral-7B", "12.5x50", "LESS+Random", "GSM8K", "delta", -0.16, 0.16),
}


@pytest.fixture(scope="module")
def printed() -> pd.DataFrame:
    return audit.printed_editions()


@pytest.fixture(scope="module")
def findings() -> pd.DataFrame:
    return audit.audit()


def slips(findings: pd.DataFrame, edition: str) -> set[tuple[object, ...]]:
    rows = findings[(findings["edition"] == edition) & findings["finding"].isin(["average", "delta"])]
    return {
        (
            row.table,
            row.model,
            f"{100 * row.sample_ratio:g}x{100 * row.token_ratio:g}",
            f"{row.sample_pruner}+{row.token_pruner}",
            row.benchmark,
            row.finding,
            row.printed,
            round(row.recomputed, 3),
        )
        for row in rows.itertuples()
    }


def test_audit_finds_the_slips_of_both_editions(findings: pd.DataFrame) -> None:
    assert slips(findings, "v1") == V1
    assert slips(findings, "v2") == V2


def test_the_tolerances_lie_in_gaps(printed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next smaller and larger gaps, which the docs name."""
    monkeypatch.setattr(audit, "AVERAGE_GAP", -1)
    monkeypatch.setattr(audit, "DELTA_GAP", -1)
    for every, listed, inside, outside in ((audit.averages, 5, 0.010, 0.024), (audit.deltas, 17, 0.010, 0.020)):
        gaps = sorted(round(gap, 6) for gap in (every(printed)["printed"] - every(printed)["recomputed"]).abs())
        assert gaps[-listed - 1] == inside
        assert gaps[-listed] == outside


def test_deltas_of_two_tables_are_against_another_budget(findings: pd.DataFrame, printed: pd.DataFrame) -> None:
    rows = findings[findings["finding"] == "baseline"]
    budgets = rows.groupby("table")[["sample_ratio", "token_ratio"]].agg(lambda column: sorted(set(column)))
    assert budgets.loc[13].tolist() == [[0.125, 0.25], [1.0]]
    assert budgets.loc[14].tolist() == [[0.25, 1.0], [0.5]]
    rho = audit.with_baselines(printed).query("table == 14 and sample_ratio == 1 and model == 'Mistral-7B'")
    score = rho[(rho["token_pruner"] == "Rho-1") & (rho["benchmark"] == "ARC-E")].iloc[0]
    assert (score["score"], score["base"], score["base_sample_ratio"]) == (63.67, 70.55, 0.125)


def test_equal_rows_are_sparsevlm_at_two_token_ratios(findings: pd.DataFrame, printed: pd.DataFrame) -> None:
    rows = findings[findings["finding"] == "identical"]
    groups = rows.groupby("group")
    assert groups.size().tolist() == [2] * 24
    assert (groups["sample_ratio"].nunique() == 1).all()
    assert (groups["token_ratio"].agg(lambda ratios: sorted(ratios) == [0.5, 0.7])).all()
    assert set(rows["token_pruner"]) == {"SparseVLM"}
    assert groups["dataset"].first().value_counts().to_dict() == {"OpenHermes": 12, "MathInstruct": 12}
    sparse = printed[(printed["token_pruner"] == "SparseVLM") & (printed["benchmark"] == "Avg")]
    sparse = sparse[sparse["dataset"] != "WizardLM"]
    both = sparse.groupby(["dataset", "model", "sample_pruner", "sample_ratio"])["token_ratio"].nunique() == 2
    assert both.sum() == 24


def test_an_equal_row_under_another_pruner_is_found(printed: pd.DataFrame) -> None:
    other = printed["sample_pruner"].eq("Longest") & printed["token_pruner"].eq("PPL") & (printed["table"] == 12)
    twin = printed[other].assign(sample_pruner="Entropy", token_pruner="Twin")
    added = audit.identical(pd.concat([printed, twin], ignore_index=True))
    with_twin = added.groupby("group").filter(lambda group: "Twin" in set(group["token_pruner"]))
    assert set(with_twin["sample_pruner"]) == {"Longest", "Entropy"}


def test_one_untrained_model_has_two_scores(findings: pd.DataFrame) -> None:
    rows = findings[findings["finding"] == "zero-shot"]
    assert set(rows["model"] + rows["benchmark"]) == {"Mistral-7BGSM8K"}
    assert rows.set_index("dataset")["printed"].to_dict() == {"WizardLM": 18.35, "MathInstruct": 19.86}


@pytest.mark.parametrize(
    ("score", "items", "rounded", "cut"),
    [
        (53.44, 567, True, False),  # 303 / 567 = 53.4391...
        (71.25, 567, True, True),  # 404 / 567 = 71.2522...
        (66.66, 3, False, True),
        (66.67, 3, True, False),
        (66.68, 3, False, False),
        (3.12, 32, True, True),  # 1 / 32 = 3.125, a half, rounded to even
        (3.13, 32, True, False),
        (0.0, 295, True, True),
        (100.0, 295, True, True),
    ],
)
def test_counts_as_they_are_printed(score: float, items: int, rounded: bool, cut: bool) -> None:
    assert audit.ways_to_print(score, items) == (rounded, cut)


def test_the_share_of_numbers_that_fit_by_chance() -> None:
    """0, 1/3, 2/3 and 1 are printed as 0, 33.33, 66.66 or 66.67, and 100: five of 10001 numbers."""
    assert audit.chance_share(3) == 5 / 10_001


def test_every_score_is_a_count(findings: pd.DataFrame, printed: pd.DataFrame) -> None:
    assert not (findings["finding"] == "count").any()
    third = printed["benchmark"].eq("ARC-C") & printed["score"].eq(41.02)
    changed = printed.assign(score=printed["score"].mask(third, 41.06))  # 121 / 295 = 41.0169, 122 / 295 = 41.3559
    assert set(audit.impossible_counts(changed).index) == set(printed.index[third])


def test_repeated_rows_have_the_same_scores(printed: pd.DataFrame) -> None:
    repeats = audit.repeated(printed)
    assert repeats["same"].all()
    wizard = repeats[repeats["tables"].str.contains("v2 Table 13, v2 Table 14")]
    assert set(wizard["sample_pruner"]) == {"Zero-Shot", "Full Dataset", "Random", "Q-Tuning"}
    assert repeats["tables"].str.contains("v1").sum() == 106
    changed = printed["score"].mask(printed["table"].eq(14) & printed["sample_pruner"].eq("Q-Tuning"), 1.0)
    assert (~audit.repeated(printed.assign(score=changed))["same"]).sum() == 4


def test_the_docs_show_what_is_computed(findings: pd.DataFrame, printed: pd.DataFrame) -> None:
    docs = (ROOT / "docs/explanation/published.md").read_text()
    shown = [audit_report.summary(findings, printed), audit_report.baselines(printed)]
    assert all(table in docs for table in shown)
    kinds = findings["finding"].value_counts()
    assert (kinds["average"], kinds["delta"]) == (5, 17)
    assert "Five averages and 17 deltas" in docs
    report = audit_report.report(findings)
    for table in (
        *shown,
        audit_report.slips(findings),
        audit_report.zero_shot(findings),
        audit_report.counts(printed),
        audit_report.repeated(printed),
        audit_report.identical(findings),
    ):
        assert table in report
