"""A reason why a cell is stale."""

from dataclasses import dataclass, field

EVALUATED = "another when it was evaluated"
TRAINED = "another when the model was trained"
IMPORT = "another when its scores were imported"
SCORED = "another when it was scored"
PRUNED = "another when it was pruned"
MADE_ANEW, CHANGED = "made anew", "changed since"


@dataclass(frozen=True)
class Reason:
    """A setting, by its key in the config, or a file; its recorded value and the current one.

    `remove` are files, relative to the results folder, that Snakemake takes for up to date: only once they are removed
    does it make them again. Reasons that differ in nothing else are one.
    """

    setting: str
    recorded: str
    current: str
    remove: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.setting} was {self.recorded}, is {self.current}"
