"""One job of Snakemake, as `experiment.steps` lists them: its rule, what it makes, and what it needs."""

from typing import NamedTuple

from prunegrid.experiment import layout
from prunegrid.experiment.grid import Cell


class Step(NamedTuple):
    """A job: its rule, what it is of (a cell, a model, a benchmark), the files it makes, those it needs from others.

    `temporary` files are removed once all steps that need them are done. A step of one cell names it in `cell`.
    """

    rule: str
    job: str
    makes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    temporary: tuple[str, ...] = ()
    cell: Cell | None = None

    @property
    def log(self) -> str:
        return layout.log(self.rule, self.job)

    @property
    def benchmark(self) -> str:
        """Snakemake's record of the job's seconds and memory."""
        return layout.benchmark(self.rule, self.job)

    @property
    def lasting(self) -> list[str]:
        return [file for file in self.makes if file not in self.temporary]
