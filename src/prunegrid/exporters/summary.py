"""`export.json`: what an export holds."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class ExportSummary(BaseModel):
    """What was written to `out` for the consumer `consumer`, as ids (`form` is tokens) or as text.

    `tokens`, `labels` and `longest` count what was scored; a consumer that tokenises text again may count otherwise.
    `left_out` are samples by reason. `limit` is the setting of the consumer under which no row is cut. `details` are
    what its settings need to know of the rows, `bos` how they begin. `files` are relative to `out`.
    """

    model_config = ConfigDict(frozen=True)

    consumer: str
    out: str
    form: str
    removal: str
    resampled: bool
    rows: int
    tokens: int
    labels: int
    longest: int
    left_out: dict[str, int]
    limit: str
    bos: str
    details: dict[str, Any] = {}
    files: list[str] = []
    selection: str
    scores: str
    version: str
