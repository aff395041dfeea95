"""Models named by a folder or by an id of the Hugging Face hub."""

import re
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError, first_line

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
IGNORED = ["original/*", "consolidated*"]


def find_model(name: str | Path) -> tuple[Path, dict[str, Any]]:
    """The model's folder, and its source with the hub's commit (null for a folder of one's own).

    `name` is a folder, or `org/name[@revision]` of the hub, which is downloaded into huggingface_hub's cache.
    """
    text = str(name)
    if Path(text).exists() or not ID.fullmatch(text):
        return Path(text), {"source": text, "commit": None}
    hub, _, revision = text.partition("@")
    try:
        folder = download(hub, revision or None, FILES)
    except Exception as error:  # of huggingface_hub, of HTTP, of the system
        problem = f"no such folder, and no such model could be downloaded from the hub ({first_line(error)})"
        fix = "give a folder or an id of the hub; offline, download it into the hub's cache before"
        raise PrunegridError(text, problem, fix) from None
    return folder, {"source": hub, "commit": folder.name}


def download(hub: str, revision: str | None, files: list[str]) -> Path:
    """The folder in the hub's cache that holds these files of the model; its name is the commit."""
    from huggingface_hub import constants, snapshot_download

    offline = constants.HF_HUB_OFFLINE  # else version 1 queries the hub even for a pinned commit
    return Path(
        snapshot_download(
            hub, revision=revision, allow_patterns=files, ignore_patterns=IGNORED, local_files_only=offline
        )
    )
