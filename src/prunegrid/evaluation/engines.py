"""Which library generates and scores the answers. No engine is imported here."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prunegrid.core.errors import PrunegridError

TRANSFORMERS = "transformers"
VLLM = "vllm"


def recorded_engine(record: dict[str, Any]) -> str:
    """The engine of a benchmark's record. Records that name none are of the transformers library."""
    engine: str = record.get("engine", TRANSFORMERS)
    return engine


def engine_entry(engine: str) -> dict[str, str]:
    """What a record says about its engine: nothing for transformers, so that older records stay valid."""
    return {} if engine == TRANSFORMERS else {"engine": engine}


def require_installed(engine: str) -> None:
    """Raise a `PrunegridError` unless the engine's package is installed."""
    try:
        version(engine)
    except PackageNotFoundError:
        raise PrunegridError(
            f"evaluation.engine is {engine}, which is not installed: pip install 'prunegrid[{engine}]', or set "
            f"evaluation.engine: {TRANSFORMERS}"
        ) from None
