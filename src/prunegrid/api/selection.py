"""Prune scores, and what comes of it: a selection, in a folder that `prunegrid prune` writes and reads, too."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from prunegrid.api.show import show
from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import find_table, read_parts
from prunegrid.core.ratios import Amount, read_amount
from prunegrid.experiment import layout
from prunegrid.experiment.dataset import Unit
from prunegrid.experiment.training import Removal
from prunegrid.exporters.dataset import to_datasets
from prunegrid.exporters.export import export as export_folder
from prunegrid.models import describe
from prunegrid.pruners import Draw, MethodSpec, PruningSpec, Scores, needs
from prunegrid.pruners.methods.imported import check_directions
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection import prune as pruning
from prunegrid.selection.budget import budget_spec
from prunegrid.selection.memory import ScoresInMemory
from prunegrid.selection.overlap import Overlap, overlap
from prunegrid.selection.sentences import noun, selection_sentences
from prunegrid.selection.summary import SelectionSummary

if TYPE_CHECKING:
    import datasets
    import pandas as pd

Folder = str | Path
Ratio = float | int | str | Amount


class Summary(SelectionSummary):
    """`selection.json`: its fields, `model_dump()` for a dictionary, and sentences if it is printed."""

    def __str__(self) -> str:
        return "\n".join(selection_sentences(self))


class Selection:
    """The samples and tokens that a pruner kept: a folder with `selection.parquet` (or its parts) and `selection.json`.

    `open` reads one that exists. `scores` is the folder that was pruned, where it is not where the selection says.
    """

    def __init__(self, folder: Folder, scores: Folder | None = None) -> None:
        self.folder, self.scores = Path(folder), None if scores is None else Path(scores)
        self.temporary: Any = None  # keeps a temporary folder alive as long as the selection
        self._summary = Summary.read(self.folder / layout.SUMMARY)

    @classmethod
    def open(cls, folder: Folder, scores: Folder | None = None) -> "Selection":
        """The selection in a folder that `prunegrid prune` or `prune` wrote."""
        return cls(folder, scores)

    def __len__(self) -> int:
        """The number of kept answers."""
        return len(self.sample_ids)

    def __repr__(self) -> str:
        summary = self._summary
        samples = f"{summary.n_kept_samples:,} of {summary.n_samples:,} {noun(summary)}s"
        return f"<Selection {self.folder}: {summary.method}, {samples}, {summary.kept_tokens:,} response tokens>"

    def __str__(self) -> str:
        return "\n".join(selection_sentences(self._summary, *self._facts()))

    def _facts(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """`meta.json` and `data.json` of the scores, where they are."""
        recorded = self._summary.scores
        scores = self.scores or (self.folder / recorded if recorded else None)
        folder = ScoresFolder(scores) if scores else None
        return (folder.meta or None, folder.counts) if folder else (None, None)

    @property
    def sample_ids(self) -> list[int]:
        """The kept samples, ascending."""
        ids: list[int] = read_parts(find_table(self.folder / layout.SELECTION), ["sample_id"])["sample_id"].to_pylist()
        return ids

    def summary(self) -> Summary:
        """What was asked and kept, by what, from what."""
        return self._summary

    def overlap(self, other: "Selection") -> Overlap:
        """Jaccard indices of samples, and of tokens within the samples that both keep."""
        return overlap(self.folder, other.folder)

    def text(self, rows: int = 5, samples: Sequence[int] = ()) -> str:
        """The first `rows` kept samples, or those of the ids `samples`, as text: what is dropped is `[-dropped-]`."""
        return "\n\n".join(show(self.folder, self.scores, rows, samples))

    def to_datasets(self, *, removal: Removal = "mask", resample: bool = False) -> "datasets.Dataset":
        """`input_ids`, `attention_mask` and `labels` (-100 where nothing is learned), as TRL, axolotl and others take.

        `removal="drop"` takes dropped tokens out of `input_ids`. Weights are refused, unless `resample` draws rows in
        proportion to them.
        """
        return to_datasets(self.folder, scores=self.scores, removal=removal, resample=resample)

    def export(
        self, to: str, out: Folder, *, removal: Removal = "mask", resample: bool = False, as_text: bool = False
    ) -> Path:
        """Write the selection as another trainer reads it: `prunegrid export`. Returns the folder `out`."""
        export_folder(
            self.folder, to, Path(out), scores=self.scores, removal=removal, resample=resample, as_text=as_text
        )
        return Path(out)

    def to_pandas(self) -> "pd.DataFrame":
        """A row for each kept sample: its id, place in the source, kept positions of the response, weight, reason."""
        frame: pd.DataFrame = read_parts(find_table(self.folder / layout.SELECTION)).to_pandas()
        return frame


def prune(
    scores: Folder | ScoresFolder | Scores,
    pair: str,
    *,
    samples: Ratio = 1.0,
    tokens: Ratio = 1.0,
    seed: int = 0,
    unit: Unit = "turn",
    options: Mapping[str, Any] | None = None,
    match: Folder | Selection | None = None,
    model: Folder | None = None,
    out: Folder | None = None,
) -> Selection:
    """Choose samples and tokens: what `prunegrid prune` does, and with the same seed the same files.

    `scores` are a folder, or arrays in memory. `pair` is a sample pruner + token pruner (random+ppl) or a joint one
    (qtuning), with `options`. `samples` and `tokens` are shares (0.125), percentages ("12.5%") or counts (5000, "20M").
    `unit` is what a sample is: a turn's answer, or a whole conversation. `match` is a selection whose realised counts a
    pair meets instead. `model` is checked against the scores. Without `out`, the selection lives in a temporary folder,
    as long as the object does.
    """
    source = find_scores(scores)
    spec, counts = pruning_spec(source, pair, samples, tokens, seed, unit, options)
    temporary = tempfile.TemporaryDirectory(prefix="prunegrid-") if out is None else None
    folder = Path(temporary.name) if temporary else Path(out or ".")
    _check_folder(folder)
    pruning.prune(
        source,
        folder,
        spec,
        seed,
        match=match_file(match),
        expected_digests=describe(Path(model))["digests"] if model else None,
        budget=counts,
    )
    selection = Selection(folder, source.path if isinstance(source, ScoresFolder) else None)
    selection.temporary = temporary
    return selection


def pruning_spec(
    source: ScoresFolder | ScoresInMemory,
    pair: str,
    samples: Ratio,
    tokens: Ratio,
    seed: int,
    unit: Unit = "turn",
    options: Mapping[str, Any] | None = None,
) -> tuple[PruningSpec, dict[str, str] | None]:
    """The pruning that these arguments of `prune` ask for, and the counts among them, as they were written."""
    amounts = read_amount(samples, "samples"), read_amount(tokens, "tokens")
    if unit not in get_args(Unit):
        raise PrunegridError("unit", f"is {unit!r}", "give turn or conversation")
    if not isinstance(seed, int) or seed < 0:
        raise PrunegridError("seed", f"is {seed!r}", "give a whole number from 0")
    method = MethodSpec(method=pair, options=dict(options or {})).complete()
    _check_directions(source, pair, options or {})
    spec = budget_spec(source, method, *amounts, Draw(seed), unit)
    counts = {name: amount.text for name, amount in zip(("samples", "tokens"), amounts, strict=True) if amount.count}
    return spec, counts or None


def export(
    selection: Selection | Folder,
    to: str,
    out: Folder,
    *,
    removal: Removal = "mask",
    resample: bool = False,
    as_text: bool = False,
) -> Path:
    """Write a selection, or the one in a folder, as the trainer `to` reads it: what `prunegrid export` does.

    `to` is trl, llamafactory, axolotl, open-instruct, datasets, openai or jsonl. Returns the folder `out`.
    """
    chosen = selection if isinstance(selection, Selection) else Selection.open(selection)
    return chosen.export(to, out, removal=removal, resample=resample, as_text=as_text)


def find_scores(scores: Folder | ScoresFolder | Scores) -> ScoresFolder | ScoresInMemory:
    """What is read of a folder, or of arrays in memory."""
    if isinstance(scores, Scores):
        return ScoresInMemory(scores)
    return scores if isinstance(scores, ScoresFolder) else ScoresFolder(Path(scores))


def match_file(match: Folder | Selection | None) -> Path | None:
    """The `selection.json` of a selection, of its folder, or itself."""
    if match is None:
        return None
    path = match.folder if isinstance(match, Selection) else Path(match)
    return path / layout.SUMMARY if path.is_dir() else path


def _check_directions(source: ScoresFolder | ScoresInMemory, pair: str, options: Mapping[str, Any]) -> None:
    """Refuse to keep the worse end of imported scores by a default."""
    made_of = source.extra_digests(needs(pair, dict(options)))
    check_directions(pair, options, {name: each["direction"] for name, each in made_of.items() if "direction" in each})


def _check_folder(folder: Path) -> None:
    if folder.is_file():
        raise PrunegridError(folder, "is a file, not a folder", "name another one")
