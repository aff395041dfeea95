"""The selections that the views of samples show: those of an experiment's cells, or a single one of a user's own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prunegrid import pruners
from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import find_table, parts_columns, read_parts
from prunegrid.core.ragged import Ints
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.exporters.origin import find_scores, read_summary
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.summary import SelectionSummary
from prunegrid.table.labels import titles

ROW = ["sample_id", "reason", "treated_as"]


@dataclass(frozen=True)
class Choice:
    """One selection, and where its cell stands; `label` is what tables call its pruners.

    `path` is its folder as a reader of the page would name it: relative to the results folder.
    """

    budget: str
    variant: str
    label: str
    seed: int
    folder: Path
    path: str
    summary: SelectionSummary

    @property
    def place(self) -> dict[str, Any]:
        """What an address of the page names it by; a view without an address opens with a `joint` one."""
        joint = len(pruners.find_pruners(self.summary.method)) == 1 and self.summary.realised["samples"] != 1
        place = {"budget": self.budget, "variant": self.variant, "seed": self.seed, "label": self.label}
        return place | {"joint": joint, "dynamic": self.is_dynamic}

    @property
    def is_dynamic(self) -> bool:
        return self.summary.mode == "dynamic"

    @cached_property
    def table(self) -> Path:
        """Its kept samples; of a dynamic cell the log of all mini-batches."""
        return self.folder / layout.SELECTION_LOG if self.is_dynamic else find_table(self.folder / layout.SELECTION)

    def rows(self, columns: Sequence[str], ids: Ints | None = None) -> pa.Table:
        """These columns of the kept samples, or of those among `ids`; of a dynamic cell as in its last epoch."""
        table = read_parts(self.table, [*columns, *(["epoch"] if self.is_dynamic else [])])
        if self.is_dynamic and len(table):
            table = table.filter(pc.equal(table["epoch"], pc.max(table["epoch"])))
        return table if ids is None else table.filter(pc.is_in(table["sample_id"], pa.array(ids, pa.int64())))

    @property
    def sample_ids(self) -> Ints:
        """The kept samples."""
        ids: Ints = np.unique(self.rows(["sample_id"])["sample_id"].to_numpy())
        return ids

    @property
    def entropy(self) -> str:
        """The entropy whose thresholds its pruner has: of the response, or of prompt and response."""
        needs = pruners.needs(self.summary.method, self.summary.options)
        return "sequence_entropy" if "sequence_entropy" in needs.samples else "entropy"


@dataclass(frozen=True)
class ModelSelections:
    """The selections from one model's scores; `note` says what cannot be shown, and why; `texts`: may be shown."""

    model: str
    scores: ScoresFolder
    choices: list[Choice]
    note: str
    texts: bool = True

    @property
    def has_scores(self) -> bool:
        return all(path.exists() for path in self.scores.tables.values())


def experiment_selections(experiment: Experiment, root: Path, texts: bool = True) -> list[ModelSelections]:
    """A results folder's, model by model."""
    cells = [cell for cell in grid.cells(experiment) if cell.pruned]
    return [
        replace(_model_selections(experiment, root, model, [c for c in cells if c.model == model]), texts=texts)
        for model in experiment.models
    ]


def _model_selections(experiment: Experiment, root: Path, model: str, cells: list[Cell]) -> ModelSelections:
    names = {variant.name: _label(variant.name, variant.method, titles(variant)) for variant in experiment.variants}
    choices, notes, missing = list[Choice](), list[str](), 0
    for cell in cells:
        assert cell.budget and cell.seed is not None, "a pruned cell has both"
        path, place = grid.selection_folder(experiment, cell), (cell.budget.name, cell.variant, names[cell.variant])
        try:
            choice = _read(root / path, path, *place, cell.seed)
        except PrunegridError as error:
            notes.append(f"Not shown: {error}.")
            continue
        missing += choice is None
        choices += [choice] if choice else []
    if missing:
        notes.append(f"{missing:,} of {len(cells):,} selections are missing and not shown.")
    if any(choice.is_dynamic for choice in choices):
        notes.append("Where pruning was dynamic, the last epoch's samples are shown; its log has no positions.")
    scores = ScoresFolder(root / layout.scores(model))
    gone = [path.relative_to(root) for path in scores.tables.values() if not path.exists()]
    if gone:
        paths = " and ".join(map(str, gone))
        notes.append(f"No samples to show: the folder lacks {paths} (not scored yet, or removed).")
    return ModelSelections(model, scores, choices, " ".join(notes))


def _read(folder: Path, path: str, budget: str, variant: str, label: str, seed: int) -> Choice | None:
    """The selection in the folder; None if it is not there, or its table is not."""
    if not (folder / layout.SUMMARY).exists():
        return None
    choice = Choice(budget, variant, label, seed, folder, path, SelectionSummary.read(folder / layout.SUMMARY))
    return choice if choice.table.exists() else None


def _label(variant: str, method: str, parts: list[str]) -> str:
    """A plain variant's pruners, else its own name."""
    plain = "+".join(name for name in pruners.pruner_names(method) if name)
    return " + ".join(parts) if variant == plain else variant


def single_selection(folder: Path, scores: Path | None = None) -> ModelSelections:
    """The one in a folder that `prunegrid prune` wrote. Raises `PrunegridError` if it is damaged, or a dynamic cell's.

    Without its scores it is shown without samples.
    """
    if SelectionSummary.read(folder / layout.SUMMARY).mode == "dynamic":
        fix = "give results/<experiment>, whose page shows its last epoch"
        raise PrunegridError(folder, "is of a dynamic cell, whose selection changes with every step", fix)
    summary = read_summary(folder)
    options = pruners.complete_options(summary.method, summary.options)
    label = " + ".join(pruner.title(options) for pruner in pruners.find_pruners(summary.method))
    choice = Choice("", summary.variant, label, summary.seeds.get("cell", 0), folder, str(folder), summary)
    try:
        source, note = find_scores(folder, summary, scores), ""
    except PrunegridError as error:
        if scores:
            raise
        source, note = ScoresFolder(folder), f"No samples to show: {error}."
    return ModelSelections("", source, [choice], note)


def rows_of(path: Path, columns: Sequence[str], ids: Ints) -> pa.Table:
    """The rows of these samples, ascending, from a table that is read piece by piece."""
    values = pa.array(ids, pa.int64())
    batches = files.read_batches(path, 4096, columns)
    parts = [pa.Table.from_batches([batch]).filter(pc.is_in(batch["sample_id"], values)) for batch in batches]
    return pa.concat_tables(parts).sort_by("sample_id").combine_chunks()


def sample_columns(scores: ScoresFolder, ids: Ints) -> dict[str, Any]:
    """Every number that the scores have for a sample, of these samples [n]; vectors are left out."""
    table = rows_of(scores.tables["sample"], files.parquet_schema(scores.tables["sample"]).names, ids)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    for name in scores.columns("sample"):
        file = scores.extra_file(name)
        if name not in columns and file.suffix == ".parquet" and file.exists():
            columns[name] = rows_of(file, ["sample_id", name], ids)[name].to_numpy()
    return columns


def has_positions(choice: Choice) -> bool:
    """Whether it says which tokens are kept; a dynamic cell's log has their number alone."""
    return "kept" in parts_columns(choice.table) and not choice.is_dynamic
