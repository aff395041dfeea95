"""Where a source of rows is: on the hub, or here."""

import re
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.data.sources import COMPRESSED, FORMATS

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def place(source: Any) -> tuple[str | None, Any]:
    """(hub id, None) or (None, what is local): a text that is no path here, and looks like an id, is one of the hub."""
    if source is None:
        raise PrunegridError(
            "rows", "is None", "give a path, an id of the hub, a list of dicts, a data set or a DataFrame"
        )
    if not isinstance(source, str) or not HUB_ID.fullmatch(source):
        return None, source
    path = Path(source)
    is_path = path.parent.exists() or path.suffix in FORMATS | COMPRESSED
    return (None, source) if is_path else (source, None)
