"""The keys of the examples that stand before every question of a benchmark."""

from typing import Self

from pydantic import Field, model_validator

from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.section import Section


class Examples(Section):
    """Rows of a data set, in this order, written as the task writes its questions and answers."""

    data: DataRef = Field(description="data set with the examples, such as the benchmark's training split")
    rows: list[int] = Field(min_length=1, description="numbers of the rows, from 0")

    @model_validator(mode="after")
    def check_rows(self) -> Self:
        if min(self.rows) < 0 or len(set(self.rows)) < len(self.rows):
            raise ValueError(f"rows is {self.rows}; give numbers from 0, each once")
        return self
