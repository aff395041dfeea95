"""The libraries that generate and score answers. No engine is imported here."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.names import TRANSFORMERS


def recorded_engine(record: dict[str, Any]) -> str:
    """The engine of a benchmark's record; a record without one was written by the transformers engine."""
    engine: str = record.get("engine", TRANSFORMERS)
    return engine


def require_installed(engine: str) -> None:
    """Raise a `PrunegridError` unless the engine's package is installed."""
    try:
        version(engine)
    except PackageNotFoundError:
        fix = f"run pip install 'prunegrid[{engine}]', or set it to {TRANSFORMERS}"
        raise PrunegridError("evaluation.engine", f"{engine} is not installed", fix) from None
