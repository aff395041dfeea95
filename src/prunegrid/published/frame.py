"""The published tables of arXiv 2509.23873 (Q-Tuning), v1 and v2, in the shape of an experiment's results.

`snakemake published` renders them. The scores of the benchmarks are as printed; averages and deltas are recomputed from
them by `prunegrid.results.collect`, so the paper's arithmetic errors are not copied.
"""

from pathlib import Path

import pandas as pd

from prunegrid.core.files import Record
from prunegrid.experiment.names import AVERAGE, BASELINE, REFERENCES
from prunegrid.pruners import JOINT, SAMPLE, TOKEN
from prunegrid.published import V2_TABLES
from prunegrid.results import collect
from prunegrid.table.document import ROW
from prunegrid.table.labels import OTHERS, published_label

CSV = Path(__file__).with_name("published_table.csv")
CSV_V2 = Path(__file__).with_name("published_v2.csv")
PAPER = "Winning the Pruning Gamble (Q-Tuning), arXiv 2509.23873"
TITLE = f"{PAPER} v1, Table 1"
NOTE = (
    "Published scores, not a run of prunegrid: WizardLM, dynamic pruning, as printed in the paper. "
    "Averages and deltas are computed again from the printed scores; so the paper's three slips are not repeated."
)
NOTE_V2 = (
    "Published scores, not a run of prunegrid: {dataset}, dynamic pruning, as printed in the paper. Averages and "
    "deltas are computed again from the printed scores. Where a budget has no Random + Random there are no deltas."
)
PRINTED = [*SAMPLE, *TOKEN, *JOINT, *OTHERS]
NAMES = {published_label(name): name for name in PRINTED} | {"TokenCleaning": "token-cleaning"}
ITEMS = {"ARC-E": 567, "ARC-C": 295, "GSM8K": 1319, "SQuAD": 11873, "TriviaQA": 8837, "MATH": 5000}
CELL = ["model", *ROW]


def frame() -> pd.DataFrame:
    """The scores of v1's Table 1 (percent) as a results frame; seeds and realised ratios are unknown.

    Full Dataset, which the paper prints under every budget with the same scores, is one cell per model.
    """
    return _as_results(printed())


def table_v2(number: int) -> pd.DataFrame:
    """One table of v2 as a results frame. Zero-Shot and Full Dataset are repeated in each."""
    return _as_results(printed_v2().query("table == @number"))


def reference() -> pd.DataFrame:
    """Every cell of v2 once, for `prunegrid compare` to compare with. v1's Table 1 is a part of it."""
    tables = pd.concat([table_v2(number) for number in V2_TABLES], ignore_index=True)
    return tables.drop_duplicates(["dataset", *CELL, "benchmark"], ignore_index=True)


def printed() -> pd.DataFrame:
    """v1's shipped CSV as it is, `published_delta` and the printed averages included."""
    return pd.read_csv(CSV).assign(table=1, dataset="WizardLM")


def printed_v2() -> pd.DataFrame:
    """v2's shipped CSV as it is."""
    return pd.read_csv(CSV_V2)


def title_v2(number: int) -> str:
    return f"{PAPER} v2, Table {number}"


def note_v2(number: int) -> str:
    return NOTE_V2.format(dataset=table_v2(number)["dataset"].iat[0])


def _as_results(table: pd.DataFrame) -> pd.DataFrame:
    cells = _renamed(table).groupby(CELL, sort=False, dropna=False)
    rows = [row for _, cell in cells for row in _with_average(cell)]
    frame = collect.tidy(rows)
    return collect.with_deltas(frame, dict.fromkeys(frame["variant"], BASELINE))


def _with_average(cell: pd.DataFrame) -> list[Record]:
    rows = [{str(name): value for name, value in row.items()} for row in cell.to_dict("records")]
    return [*rows, collect.average(rows)]


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    """The printed scores of the benchmarks under prunegrid's names, model by model."""
    table = table[table["benchmark"] != AVERAGE].drop(columns=["published_delta", "table"])
    sample, token = table["sample_pruner"].map(NAMES), table["token_pruner"].map(NAMES)
    token = token.mask(sample == "qtuning")
    reference = sample.isin(REFERENCES)
    table = table.assign(
        experiment="published",
        sample_pruner=sample,
        token_pruner=token,
        variant=(sample + "+" + token).fillna(sample),
        mode="dynamic",
        protocol="paper",
        n_items=table["benchmark"].map(ITEMS),
        status="done",
        sample_ratio=table["sample_ratio"].mask(reference),
        token_ratio=table["token_ratio"].mask(reference),
    )
    unique = table.drop_duplicates([*CELL, "benchmark"], keep="last")
    return unique.sort_values("model", kind="stable")
