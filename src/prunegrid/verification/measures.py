"""What each row kept, trained on and cost, again from selections, scores and the records of trainings.

The columns from Kept to Cost: plain arithmetic that shares no code with `selection`, `training` and `results`.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from prunegrid import pruners
from prunegrid.core import files, parts
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.pruners.columns import BASE_NLL, EPOCH_LOSS, FIXED_EXTRAS, PASS_COLUMNS, complete_extras

Bounds = tuple[float, float]
LATER = ("sample_passes", "end_tokens")  # older versions did not record them
FREE = {"prompt_tokens", "response_tokens", "truncated"}  # the tokenizer alone knows these: no pass is paid for


class Lengths(NamedTuple):
    """Of each answer of the scores: its response's tokens, whether that was cut off, the source's row that it is of."""

    tokens: pd.Series
    truncated: pd.Series
    row: pd.Series | None


class Measures:
    """Recomputes the columns of one experiment's cells; what several cells share is read once."""

    def __init__(self, root: Path, experiment: Experiment) -> None:
        self.root, self.experiment = root, experiment
        self._lengths: dict[str, Lengths] = {}

    def columns(self, cell: Cell) -> dict[str, Bounds]:
        """Lowest and highest value of each column: one value, unless a training ended within an epoch."""
        training = files.read_json(self.root / layout.training(cell.name))
        values = {"train_seconds": float(training["seconds"])}
        if (scoring := self.scoring_seconds(cell)) is not None:
            values["scoring_seconds"] = scoring
            if self.experiment.device == "cuda":
                ranks = self.experiment.training.ranks
                values["gpu_hours"] = (values["train_seconds"] * ranks + scoring) / 3600
        exact = {name: (value, value) for name, value in values.items()}
        kept = self._kept(cell, training)
        return exact | {name: bounds for name, bounds in kept.items() if name not in LATER or name in training}

    def _kept(self, cell: Cell, training: dict[str, Any]) -> dict[str, Bounds]:
        lengths, epochs = self.lengths(cell.model), float(training["epochs"])
        if not cell.pruned:
            every = int(lengths.tokens.sum())
            return {
                "realised_sample_ratio": (1.0, 1.0),
                "realised_token_ratio": (1.0, 1.0),
                "trained_tokens": _over(epochs, every),
                "sample_passes": _over(epochs, len(lengths.tokens)),
                "end_tokens": _over(epochs, int((~lengths.truncated).sum())),
            }
        if grid.dynamic(self.experiment, cell):
            return self._kept_by_training(cell, lengths, training)
        table = parts.read_parts(
            parts.find_table(self.root / layout.pruned(cell.name) / layout.SELECTION), ["sample_id", "kept"]
        )
        kept = pd.Series(pc.list_value_length(table["kept"]).to_numpy(), table["sample_id"].to_numpy())
        last = pd.Series([row[-1].as_py() if len(row) else -1 for row in table["kept"]], kept.index)
        ends = (last == lengths.tokens[kept.index] - 1) & ~lengths.truncated[kept.index]
        samples, response_tokens = self._samples(cell, lengths, kept.index)
        tokens = int(kept.sum())
        passes = _second_cut(training["training"], cell, len(kept)) if _is_cut_twice(training) else len(kept)
        return {
            "realised_sample_ratio": (samples, samples),
            "realised_token_ratio": (tokens / response_tokens, tokens / response_tokens),
            "trained_tokens": _of_some(epochs, kept, passes),
            "sample_passes": _over(epochs, passes),
            "end_tokens": _of_some(epochs, ends.astype(int), passes),
        }

    def _samples(self, cell: Cell, lengths: Lengths, kept: pd.Index) -> tuple[float, int]:
        """The share of samples that is kept, and the response tokens of these samples, conversations if so pruned."""
        if self.experiment.unit == "conversation":
            assert lengths.row is not None, "conversations are rows of the source"
            whole = lengths.row.isin(lengths.row[kept])
            return lengths.row[kept].nunique() / lengths.row.nunique(), int(lengths.tokens[whole].sum())
        return len(kept) / len(lengths.tokens), int(lengths.tokens[kept].sum())

    def _kept_by_training(self, cell: Cell, lengths: Lengths, training: dict[str, Any]) -> dict[str, Bounds]:
        """Of a dynamic cell: over all epochs, each of which chooses from every sample once."""
        path = self.root / layout.trained(cell.name) / layout.SELECTION_LOG
        table = files.read_parquet(path, ["sample_id", "kept"]).to_pandas()
        settings = training["training"]
        batch = ("per_device_train_batch_size", "gradient_accumulation_steps", "ranks")
        global_batch = math.prod(settings[key] for key in batch)
        whole, rest = divmod(int(training["steps"]), int(training["steps_per_epoch"]))
        candidates = whole * len(lengths.tokens) + min(rest * global_batch, len(lengths.tokens))
        if settings.get("prune_samples") == "epoch":
            candidates = round(float(training["epochs"]) * len(lengths.tokens))
        tokens, every = int(table["kept"].sum()), lengths.tokens[table["sample_id"]].to_numpy()
        samples, ratio = len(table) / candidates, tokens / int(every.sum())
        finished = ~lengths.truncated[table["sample_id"]].to_numpy()
        surely, perhaps = finished & (table["kept"] == every), finished & (table["kept"] > 0)
        return {
            "realised_sample_ratio": (samples, samples),
            "realised_token_ratio": (ratio, ratio),
            "trained_tokens": (tokens, tokens),
            "sample_passes": (len(table), len(table)),
            # The log says how many tokens were kept, not which: all of them, the end included, or any of them.
            "end_tokens": (int(surely.sum()), int(perhaps.sum())),
        }

    def lengths(self, model: str) -> Lengths:
        if model not in self._lengths:
            path = self.root / layout.scores(model) / layout.SAMPLES
            names = ["sample_id", "response_tokens", "truncated"]
            names += ["row"] if "row" in files.parquet_schema(path).names else []
            table = files.read_parquet(path, names).to_pandas().set_index("sample_id")
            tokens, truncated = table["response_tokens"].astype(np.int64), table["truncated"].astype(bool)
            self._lengths[model] = Lengths(tokens, truncated, table.get("row"))
        return self._lengths[model]

    def scoring_seconds(self, cell: Cell) -> float | None:
        """The cell's part of the passes that it reads, each divided by all cells that read it; None: not recorded."""
        parts = [self._pass_seconds(cell.model, name) / self._readers(cell.model, name) for name in self._passes(cell)]
        return None if any(map(math.isnan, parts)) else math.fsum(parts)

    def _readers(self, model: str, name: str) -> int:
        return sum(other.model == model and name in self._passes(other) for other in grid.cells(self.experiment))

    def _passes(self, cell: Cell) -> set[str]:
        """ "" is the scoring pass, others are optional scores by name."""
        if not cell.pruned:
            return set()
        variant = self.experiment.variant(cell.variant)
        needs = pruners.needs(variant.method, variant.options)
        read = (set(needs.samples) | set(needs.tokens)) - FREE
        if grid.dynamic(self.experiment, cell):
            if variant.match:
                other = self.experiment.variant(variant.match)
                others = pruners.needs(other.method, other.options)
                read |= set(others.samples) | set(others.tokens)
            by_epoch = grid.training_of(self.experiment, cell).prune_samples == "epoch"
            read &= {*FIXED_EXTRAS, BASE_NLL, *self.experiment.scores} | (
                set(needs.samples) - FREE - {EPOCH_LOSS} if by_epoch else set()
            )
        by_pass = (*PASS_COLUMNS, BASE_NLL, *self.experiment.scoring.extra)
        return {"" if name in by_pass else name for name in complete_extras(read)}

    def _pass_seconds(self, model: str, name: str) -> float:
        path = layout.benchmark("extra_score", f"{model}/{name}") if name else layout.scores_meta(model)
        if not (self.root / path).exists():
            return math.nan
        seconds = files.read_json(self.root / path).get("s" if name else "seconds")
        return math.nan if seconds is None else float(seconds)


def _over(epochs: float, amount: int) -> Bounds:
    """So much in each epoch, of which the last may have ended early."""
    return math.floor(epochs) * amount, math.ceil(epochs) * amount


def _is_cut_twice(training: dict[str, Any]) -> bool:
    return bool(training.get("training", {}).get("prune_twice"))


def _second_cut(settings: dict[str, Any], cell: Cell, kept: int) -> int:
    """How many samples of an epoch `prune_twice` leaves: of each micro-batch max(1, round(ratio x n)), half to even."""
    assert cell.budget, "a reference is not cut"
    ratio, size = Fraction(str(cell.budget.sample_ratio)), int(settings["per_device_train_batch_size"])
    whole, rest = divmod(kept, size)
    return whole * max(1, round(ratio * size)) + (max(1, round(ratio * rest)) if rest else 0)


def _of_some(epochs: float, amounts: pd.Series, number: int) -> Bounds:
    """What so many of the samples have in all the epochs: those with the least, and those with the most."""
    ordered = np.sort(amounts.to_numpy())
    return math.floor(epochs) * int(ordered[:number].sum()), math.ceil(epochs) * int(ordered[::-1][:number].sum())
