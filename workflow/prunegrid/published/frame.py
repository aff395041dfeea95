"""The published table, Table 1 of v1 of arXiv 2509.23873 (Q-Tuning), in the shape of an experiment's results.

`snakemake published` renders it. The scores of the five benchmarks are as printed; averages and deltas are
computed again from them, by what `prunegrid.results` uses, so the paper's arithmetic slips are not copied.
"""

from pathlib import Path

import pandas as pd

from prunegrid import results
from prunegrid.table.layout import LABELS

CSV = Path(__file__).with_name("published_table.csv")
TITLE = "Winning the Pruning Gamble (Q-Tuning), arXiv 2509.23873 v1, Table 1"
NOTE = (
    "Published scores, not a run of prunegrid: WizardLM, dynamic pruning, as printed in the paper. "
    "Averages and deltas are computed again from the printed scores; so the paper's three slips are not repeated."
)
NAMES = {label: name for name, label in LABELS.items()}


def frame() -> pd.DataFrame:
    """The published scores (percent) as a results frame; seeds and realised ratios are not known.

    Full Dataset, which the paper prints under every budget with the same scores, is one cell per model.
    """
    cells = _printed().groupby(["model", "sample_ratio", "token_ratio", "variant"], sort=False, dropna=False)
    rows = [row for _, cell in cells for row in _with_average(cell)]
    whole = results.tidy(rows)
    return results.with_deltas(whole, dict.fromkeys(whole["variant"], results.BASELINE))


def printed() -> pd.DataFrame:
    """The shipped CSV as it is, `published_delta` and the printed averages included."""
    return pd.read_csv(CSV)


def _with_average(cell: pd.DataFrame) -> list[results.Row]:
    rows = [{str(name): value for name, value in row.items()} for row in cell.to_dict("records")]
    return [*rows, results.average(rows)]


def _printed() -> pd.DataFrame:
    """The printed scores of the five benchmarks under prunegrid's names, model by model."""
    table = printed().query("benchmark != @results.AVERAGE").drop(columns="published_delta")
    sample, token = table["sample_pruner"].map(NAMES), table["token_pruner"].map(NAMES)
    token = token.mask(sample == "qtuning")
    reference = sample.isin(results.REFERENCES)
    table = table.assign(
        experiment="published",
        dataset="WizardLM",
        sample_pruner=sample,
        token_pruner=token,
        variant=(sample + "+" + token).fillna(sample),
        mode="dynamic",
        protocol="paper",
        status="done",
        sample_ratio=table["sample_ratio"].mask(reference),
        token_ratio=table["token_ratio"].mask(reference),
    )
    unique = table.drop_duplicates(["model", "sample_ratio", "token_ratio", "variant", "benchmark"], keep="last")
    return unique.sort_values("model", kind="stable")
