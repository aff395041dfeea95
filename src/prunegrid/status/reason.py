"""A reason why a cell is stale."""

from dataclasses import dataclass, field

EVALUATED = "changed after evaluation"
TRAINED = "changed after training"
IMPORTED = "changed after its scores were imported"
SCORED = "changed after scoring"
PRUNED = "changed after pruning"
MISSING = "is missing"


@dataclass(frozen=True)
class Reason:
    """A setting, by its key in the config, or a file, and how it differs from what the cell was made with.

    `remove` are files, relative to the results folder, that Snakemake takes for up to date: only once they are removed
    does it make them again. Reasons that differ in nothing else are one.
    """

    setting: str
    difference: str
    remove: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.setting} {self.difference}"


def was(recorded: str, current: str) -> str:
    """The difference of a setting: its recorded value and the current one."""
    return f"was {recorded}, now {current}"
