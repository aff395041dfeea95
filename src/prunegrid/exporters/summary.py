"""`export.json`: what an export holds."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class ExportSummary(BaseModel):
    """What was written to `out` for the consumer `consumer`, as ids (`form` is tokens) or as text.

    `model` is the folder of the model that was scored, or MODEL where only its tokenizer is known. `tokens`, `labels`
    and `longest` count what was scored; a consumer that tokenises text again may count otherwise. `left_out` are
    samples by reason. `limit` is the setting of the consumer under which no row is cut. `bos` says how rows begin,
    `details` what the consumer's settings need to know of them. `files` are relative to `out`.
    """

    model_config = ConfigDict(frozen=True)

    consumer: str
    model: str
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
