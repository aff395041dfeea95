"""`selection.json`: what was kept and how it was decided, of a static or a dynamic cell."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prunegrid import __version__
from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.variant import Budget
from prunegrid.pruners import PruningSpec, all_pruners

UNSET: Any = Field(None, exclude_if=lambda value: value is None)


@dataclass(frozen=True)
class Totals:
    """Numbers of samples and tokens, over all candidates and over the kept samples; None without prompt lengths."""

    samples: int
    response_tokens: int
    all_tokens: int | None
    kept_samples: int
    kept_tokens: int
    response_tokens_of_kept: int
    prompt_tokens_of_kept: int | None

    def realised(self) -> dict[str, float | None]:
        """The kept share of samples, of response tokens, and of prompt and response tokens together."""
        prompt, total = self.prompt_tokens_of_kept, self.all_tokens
        return {
            "samples": self.kept_samples / self.samples,
            "response_tokens": self.kept_tokens / self.response_tokens,
            "all_tokens": None if prompt is None or total is None else (prompt + self.kept_tokens) / total,
        }


class SelectionSummary(BaseModel):
    """The fields in the order of the file. A field that has a default here may be absent in a file.

    A joint pruner's details are fields of their own (Q-Tuning's `thresholds`, `corners`, `paths`, `token_budget`) or
    extra ones.
    `match` names the variant whose counts were met; `matched` says which counts those were. `budget` are the counts of
    samples and tokens that the ratios were made from. With `unit: conversation` samples are conversations, while
    `selection.parquet` has their answers. Of the kept answers, `truncated` were cut off at the scores' maximum length,
    `only_end` keep nothing but their end of sequence, and `empty` keep no token at all. `scores` is the folder that was
    pruned, relative to the selection's; `shards` is the number of parts, of a selection in parts; `inputs` are the
    SHA-256 of the files that were read, `selection` is the digest of what was written. `realised_token_ratio` is within
    the kept samples; in a dynamic cell every number is over all mini-batches, so that a sample that is a candidate in
    three epochs counts three times.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    mode: Literal["static", "dynamic"]
    variant: str
    method: str
    options: dict[str, Any]
    match: str | None
    budget: dict[str, str] | None = UNSET
    pruning: PruningSpec | None = UNSET
    rescore_every: int | Literal["epoch"] = Field(1, exclude_if=lambda value: value == 1)
    unit: Literal["turn", "conversation"] = Field("turn", exclude_if=lambda value: value == "turn")
    nominal: dict[str, float]
    realised: dict[str, float | None]
    realised_token_ratio: float
    n_samples: int
    n_kept_samples: int
    kept_tokens: int
    truncated: int | None = UNSET
    only_end: int | None = UNSET
    empty: int | None = UNSET
    counts: dict[str, dict[str, int]]
    matched: dict[str, int] | None = UNSET
    thresholds: list[dict[str, Any]] | dict[str, Any] | None = UNSET
    corners: dict[str, int] | None = UNSET
    paths: dict[str, int] | None = UNSET
    token_budget: dict[str, int] | None = UNSET
    inputs: dict[str, str] | None = UNSET
    selection: str | None = UNSET
    shards: int | None = UNSET
    foreign_pruners: dict[str, dict[str, Any]]
    seeds: dict[str, int]
    digests: dict[str, str]
    extras: dict[str, dict[str, str]]
    scores: str | None = UNSET
    version: str

    @classmethod
    def build(cls, mode: str, spec: PruningSpec, totals: Totals, details: dict[str, Any], **rest: Any) -> Self:
        """The summary of a selection made by `spec`. `details` are a joint pruner's, `rest` all remaining fields."""
        fields = {
            "mode": mode,
            **spec.model_dump(include={"variant", "method", "options"}),
            "unit": spec.unit,
            "nominal": {"samples": spec.sample_ratio, "tokens": spec.token_ratio},
            "realised": totals.realised(),
            "realised_token_ratio": totals.kept_tokens / totals.response_tokens_of_kept,
            "n_samples": totals.samples,
            "n_kept_samples": totals.kept_samples,
            "kept_tokens": totals.kept_tokens,
            "foreign_pruners": foreign_pruners(spec.method, spec.options),
            "version": __version__,
        }
        return cls(**details | fields | rest)

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            return cls.model_validate(files.read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            finding = f"is not a selection.json of prunegrid: {'.'.join(map(str, first['loc']))} {first['msg']}"
            raise PrunegridError(path, finding, files.repair(path)) from None

    def write(self, path: Path) -> None:
        files.write_json(path, self.model_dump())


def check_cell(path: Path, model: str, cell: str) -> None:
    """Refuse a `selection.json` that lies in the folder of another cell than its own; `cell` is the folder's path."""
    summary = SelectionSummary.read(path)
    budget = Budget(sample_ratio=summary.nominal["samples"], token_ratio=summary.nominal["tokens"])
    recorded = Cell(model, summary.variant, budget, summary.seeds["cell"])
    if recorded.path != cell:
        raise PrunegridError(path, f"is the selection of {recorded.path}, not of {cell}", prune_again(path))


def prune_again(summary: Path) -> str:
    """How to make anew a selection that is not what its summary or its cell says."""
    selection = summary.with_suffix(".parquet")
    return f"prune again (in a workflow: rm {summary} {selection}, then the same snakemake command)"


def foreign_pruners(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Module, version and source digest of each pruner from outside the package that `method` names or calls."""
    return {
        pruner.name: {"module": pruner.function.__module__, "version": pruner.version, "source": pruner.source_digest}
        for pruner in all_pruners(method, options)
        if pruner.foreign
    }
