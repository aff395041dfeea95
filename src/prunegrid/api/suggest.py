"""What pruners keep of scored data at many ratios: what `prunegrid suggest` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from prunegrid.api.selection import find_scores
from prunegrid.api.suggest_text import report
from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_parquet
from prunegrid.core.ratios import read_amount
from prunegrid.pruners import Draw, MethodSpec, Scores
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection import curves
from prunegrid.selection.memory import ScoresInMemory

RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
TOKEN_RATIOS = (0.5,)
# One of each kind of score, where the scores have what it reads: by length, by loss, in the middle, by uncertainty.
USUAL = ("random+random", "length+ppl", "loss+ppl", "ppl-mid+ppl", "entropy+ppl", "ifd+ppl", "qtuning")


@dataclass(frozen=True)
class Curves:
    """A row of `frame` for each method, sample ratio and token ratio: shares of all samples, tokens, loss, entropy.

    Printed, it is the report of `prunegrid suggest`. `samples` and `tokens` are how many there are.
    """

    frame: pd.DataFrame
    samples: int
    tokens: int
    title: str

    def __str__(self) -> str:
        return report(self.frame, self.samples, self.tokens, self.title)

    __repr__ = __str__

    def to_pandas(self) -> pd.DataFrame:
        """A row for each method and budget."""
        return self.frame.copy()

    def write(self, file: Path) -> None:
        """Write every row as CSV or Parquet, or the report as Markdown: what the file's ending says."""
        if file.suffix == ".parquet":
            files.write_parquet(file, pa.Table.from_pandas(self.frame, preserve_index=False))
        elif file.suffix in (".csv", ".md"):
            files.write_text(file, f"{self}\n" if file.suffix == ".md" else self.frame.to_csv(index=False))
        else:
            raise PrunegridError(file, f"ends with {file.suffix or 'nothing'}", "end it with .csv, .parquet or .md")


def suggest(
    scores: str | Path | ScoresFolder | Scores,
    methods: Sequence[str] | None = None,
    *,
    samples: Sequence[float | str] = RATIOS,
    tokens: Sequence[float | str] = TOKEN_RATIOS,
    seed: int = 0,
    kind: str | None = None,
) -> Curves:
    """What each of `methods` keeps at each ratio of samples and of tokens; nothing is written.

    `methods` are pairs or joint pruners with their default options: without them, usual ones that the scores can run.
    `kind` is a column of the data set that was scored, whose values are counted apart.
    """
    source = find_scores(scores)
    chosen = list(methods) if methods else _usual(source)
    specs = [MethodSpec(method=method).complete() for method in dict.fromkeys(chosen)]
    sample_ratios, token_ratios = (_ratios(values, name) for values, name in ((samples, "samples"), (tokens, "tokens")))
    draw = Draw(seed)
    candidates = curves.read_candidates(source, specs, draw, _kinds(source, kind))
    rows = curves.curves(candidates, specs, sample_ratios, token_ratios, draw)
    n, n_tokens = len(candidates.scores), int(candidates.scores.response_tokens.sum())
    return Curves(pd.DataFrame(rows), n, n_tokens, f"What pruners keep of {source.path}")


def _usual(source: ScoresFolder | ScoresInMemory) -> list[str]:
    """The methods of `USUAL` whose columns are all there."""
    present = {kind: curves.columns(source, kind) for kind in ("sample", "token")}
    usable = []
    for method in USUAL:
        needs = MethodSpec(method=method).needs
        if needs.samples.keys() <= present["sample"] and needs.tokens.keys() <= present["token"]:
            usable.append(method)
    return usable


def _ratios(values: Sequence[float | str], name: str) -> list[float]:
    shares = []
    for value in values:
        amount = read_amount(value, name)
        if amount.share is None:
            raise PrunegridError(name, f"is {amount.text}, a count", "give shares (0.1) or percentages (10%)")
        shares.append(amount.share)
    if not shares:
        raise PrunegridError(name, "has no ratio", "give at least one, such as 10%")
    return sorted(set(shares))


def _kinds(source: ScoresFolder | ScoresInMemory, kind: str | None) -> dict[int, str] | None:
    """The value of the data set's column `kind` by sample."""
    if kind is None:
        return None
    if not isinstance(source, ScoresFolder):
        raise PrunegridError("kind", "is a column of the data, which scores in memory do not have", "leave it out")
    file = source.data_file()
    if kind not in (names := parquet_schema(file).names):
        raise PrunegridError(file, f"no column {kind} among {', '.join(names)}", "copy it with dataset.carry")
    table = read_parquet(file, ["sample_id", kind])
    values = (str(value) for value in table[kind].to_pylist())
    return dict(zip(table["sample_id"].to_pylist(), values, strict=True))
