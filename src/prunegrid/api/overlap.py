"""How much selections have in common: what `prunegrid overlap` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from prunegrid.api.overlap_text import report
from prunegrid.api.selection import Selection
from prunegrid.core import files, frames
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats
from prunegrid.core.text import did_you_mean
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.locate import read_folder
from prunegrid.experiment.variant import Variant
from prunegrid.pruners import pruner_names
from prunegrid.pruners.method import member
from prunegrid.selection.kept_answers import KeptAnswers, read_selections
from prunegrid.selection.overlap import count_overlaps
from prunegrid.selection.sample_keys import spearman

SCHEMA = pa.schema(
    {
        **{name: pa.string() for name in ("budget", "model", "variant")},
        "seed": pa.int64(),
        **{name: pa.string() for name in ("other_model", "other_variant")},
        **{name: pa.int64() for name in ("other_seed", "common_samples")},
        **{name: pa.float64() for name in ("samples", "samples_chance", "tokens", "tokens_chance", "spearman")},
    }
)


class Place(NamedTuple):
    """Where a selection stands among those that it is compared with; `budget` is empty outside of an experiment."""

    budget: str
    model: str
    variant: str
    seed: int


@dataclass(frozen=True)
class Overlaps:
    """Every two selections of one budget: a row of `frame` each, Jaccard indices beside those of random choices.

    Printed, it is the report of `prunegrid overlap`. `pruners` are the sample and token pruner of each variant as the
    report groups them, `notes` what could not be compared.
    """

    frame: pd.DataFrame
    pruners: dict[str, tuple[str, str]]
    notes: list[str]
    title: str

    def __str__(self) -> str:
        return report(self.frame, self.pruners, self.notes, self.title)

    __repr__ = __str__

    def __len__(self) -> int:
        return len(self.frame)

    def to_pandas(self) -> pd.DataFrame:
        """A row for every two selections."""
        return self.frame.copy()

    def write(self, file: Path) -> None:
        """Write every row as CSV or Parquet, or the report as Markdown: what the file's ending says."""
        if file.suffix == ".parquet":
            frames.write_frame(self.frame, file, SCHEMA)
        elif file.suffix in (".csv", ".md"):
            text = str(self) + "\n" if file.suffix == ".md" else self.frame.to_csv(index=False)
            files.write_text(file, text)
        else:
            raise PrunegridError(file, f"ends with {file.suffix or 'nothing'}", "end it with .csv, .parquet or .md")


def overlap(
    *selections: str | Path | Selection,
    names: Sequence[str] | None = None,
    model: str | None = None,
    budget: str | None = None,
    seed: int | None = None,
) -> Overlaps:
    """Compare two or more selections of the same data, or all finished ones of an experiment.

    Each of them is a `Selection` or its folder; `names` call them, instead of the folders' names. A single folder is
    results/<experiment>, of which `model`, `budget` (s0.125-t0.5) and `seed` choose a part.
    """
    folders = [selection.folder if isinstance(selection, Selection) else Path(selection) for selection in selections]
    if len(folders) == 1 and (folders[0] / layout.EXPERIMENT).exists():
        return _experiment_overlaps(folders[0], {"model": model, "budget": budget, "seed": seed})
    if len(folders) < 2:
        source = folders[0] if folders else "overlap"
        fix = "give results/<experiment>, or two or more folders that `prunegrid prune` wrote"
        raise PrunegridError(source, "is not a results folder, so there is nothing to compare it with", fix)
    if not (model is budget is seed is None):
        raise PrunegridError("model, budget and seed", "choose among an experiment's cells", "leave them out")
    labels = list(names or _folder_names(folders))
    if len(labels) != len(folders) or len(set(labels)) < len(labels):
        raise PrunegridError("names", f"are {', '.join(labels)}", f"give {len(folders)} different ones")
    places = [Place("", "", label, 0) for label in labels]
    return _compare(places, folders, {label: (label, label) for label in labels}, [], "Overlap of selections")


def _folder_names(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _experiment_overlaps(root: Path, choice: dict[str, str | int | None]) -> Overlaps:
    experiment = read_folder(root)
    cells = [cell for cell in grid.cells(experiment) if cell.pruned and not grid.dynamic(experiment, cell)]
    places = {_place(cell): root / layout.pruned(cell.name) for cell in cells}
    for name, value in choice.items():
        options = [str(getattr(place, name)) for place in places]
        if value is not None and str(value) not in options:
            fix = did_you_mean(str(value), options) or f"choose from: {', '.join(dict.fromkeys(options))}"
            raise PrunegridError(name, f"is {value}, but {root} has no such selection", fix)
        places = {p: f for p, f in places.items() if value is None or str(getattr(p, name)) == str(value)}
    done = {place: folder for place, folder in places.items() if (folder / layout.SUMMARY).exists()}
    if len(done) < 2:
        raise PrunegridError(root, f"has {len(done)} finished selections to compare", "run the workflow first")
    notes = [*_missing(len(places) - len(done), "not pruned yet"), *_dynamic_note(experiment)]
    pruners = grouped_pruners(experiment.variants)
    return _compare(list(done), list(done.values()), pruners, notes, f"Overlap of selections: {experiment.experiment}")


def _place(cell: Cell) -> Place:
    assert cell.budget and cell.seed is not None, "a pruned cell has both"
    return Place(cell.budget.name, cell.model, cell.variant, cell.seed)


def _missing(count: int, reason: str) -> list[str]:
    return [f"{count} selection{'s are' if count > 1 else ' is'} left out: {reason}"] if count else []


def _dynamic_note(experiment: Experiment) -> list[str]:
    cells = [cell for cell in grid.cells(experiment) if cell.pruned and grid.dynamic(experiment, cell)]
    return _missing(len(cells), "pruned in training, mini-batch by mini-batch")


def grouped_pruners(variants: Sequence[Variant]) -> dict[str, tuple[str, str]]:
    """By variant its sample and token pruner, as they are grouped: those of plain pairs, such as `random+ppl`.

    A variant with a name of its own shares a group where its pruner has the default options; else, as joint pruners
    do, and pairs that meet another variant's counts, it is a group by its name.
    """
    plain = [pruner_names(variant.method) for variant in variants if variant.name == variant.method]
    groups = {}
    for variant in variants:
        sides = pruner_names(variant.method)
        usual = [sides[1] is not None and not variant.match and _has_defaults(variant, side) for side in (0, 1)]
        shared = [name in {pair[side] for pair in plain} for side, name in enumerate(sides)]
        names = [str(sides[side]) if usual[side] and shared[side] else variant.name for side in (0, 1)]
        groups[variant.name] = (names[0], names[1])
    return groups


def _has_defaults(variant: Variant, side: int) -> bool:
    given, usual = (member(variant.method, side, options)[1] for options in (variant.options, {}))
    return given == usual


def _compare(
    places: Sequence[Place], folders: Sequence[Path], pruners: dict[str, tuple[str, str]], notes: list[str], title: str
) -> Overlaps:
    parts, notes = [], [*notes]
    for budget in dict.fromkeys(place.budget for place in places):
        members = [number for number, place in enumerate(places) if place.budget == budget]
        selections = read_selections([folders[number] for number in members])
        correlation_EE, reasons = spearman(selections)
        notes += [note for name, reason in reasons.items() if (note := f"no ranks of {name}: {reason}") not in notes]
        parts.append(_frame([places[number] for number in members], selections, correlation_EE))
    return Overlaps(pd.concat(parts, ignore_index=True), pruners, notes, title)


def _frame(places: Sequence[Place], selections: Sequence[KeptAnswers], correlation_EE: Floats) -> pd.DataFrame:
    """A row for every two of the selections, of `SCHEMA`."""
    counts, rows = count_overlaps(selections), []
    for i, j in combinations(range(len(places)), 2):
        pair = counts.overlap(i, j)._asdict() | {"spearman": correlation_EE[i, j]}
        others = {f"other_{name}": value for name, value in places[j]._asdict().items()}
        rows.append(places[i]._asdict() | others | pair)
    return frames.typed(pd.DataFrame(rows)[SCHEMA.names], SCHEMA)
