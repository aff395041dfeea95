"""Columns of scores by name, and what is said where one is missing."""

from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.pruners.columns import BASE_NLL, EPOCH_LOSS, EXTRAS


class Columns(dict[str, Any]):
    """Columns by name. One that is absent was not declared by the pruner that reads it."""

    kind = "sample"

    def __missing__(self, name: str) -> Any:
        fix = f"name it in the pruner's decorator: {self.kind}s=({name!r},)"
        raise PrunegridError(f"{self.kind} column {name}", "was not read", fix)


class TokenColumns(Columns):
    kind = "token"


def missing_column(
    source: object,
    kind: str,
    column: str,
    pruner: str,
    columns: list[str],
    reason: str | None = None,
    command: str | None = None,
) -> PrunegridError:
    """The error for scores in `source` that have `columns` but not the one that `pruner` reads.

    `reason` says why they do not, `command` makes an optional score.
    """
    note = f": {reason}" if reason else f" (columns: {', '.join(columns) or 'none'})"
    made = f"make it with `{command or f'prunegrid extra {column}'}`"
    dynamic = "prune in training, with mode: dynamic"
    remedies = {BASE_NLL: dynamic, EPOCH_LOSS: f"{dynamic} and training: {{prune_samples: epoch}}"}
    remedy = remedies.get(column, made if column in EXTRAS else f"add it with `prunegrid extra {column} --from FILE`")
    finding = f"there is no {kind} column {column}, which {pruner} needs{note}"
    return PrunegridError(source, finding, f"{remedy}, or choose another pruner")
