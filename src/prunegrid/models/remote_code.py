"""Code that a model's folder brings along: it runs only where the config names the model and says why.

transformers runs it if `config.json` or `tokenizer_config.json` has an `auto_map`. Every load calls `may_run_code`
first.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair

ALLOWED = "PRUNEGRID_MAY_RUN_CODE_OF"


@contextmanager
def allow_code(reason: str | None, *folders: Path | str) -> Iterator[None]:
    """Within the block these folders' own code may run, in this process and those it starts; without a reason none."""
    before = os.environ.get(ALLOWED, "")
    if reason:
        print(f"the model's own code may run, because: {reason}", flush=True)
        os.environ[ALLOWED] = "\n".join([before, *(str(Path(folder).resolve()) for folder in folders)])
    try:
        yield
    finally:
        os.environ[ALLOWED] = before


def trust_reason(config: Mapping[str, Any], model: str) -> str | None:
    """Why the experiment's `config` trusts the code of `model` (or of `<model>@reference`); None where it does not."""
    name, _, which = model.partition("@")
    source = config["models"][name]
    reason: str | None = (source["reference"] if which == "reference" else source).get("trust_remote_code")
    return reason


def may_run_code(folder: Path) -> bool:
    """Whether the folder has code of its own that may run: the value of `trust_remote_code`.

    What transformers has a class of its own for is loaded with that one. A folder that needs its code, which nobody
    allowed, or whose code stands elsewhere, is a `PrunegridError`.
    """
    code = code_classes(folder)
    if not code:
        return False
    if str(folder.resolve()) not in os.environ.get(ALLOWED, "").splitlines():
        if _known_to_transformers(folder):
            return False
        raise PrunegridError(
            f"{folder}: the model brings code of its own ({code[0]}), which does not run by itself; read it, then "
            "name the model in the config and say why: models.NAME.trust_remote_code: the reason"
        )
    if elsewhere := [name for name in code if "--" in name]:
        raise PrunegridError(
            f"{folder}: its code stands in another repository ({elsewhere[0]}), whose revision nothing pins; "
            "copy those files into the model's folder and take what stands before '--' out of auto_map"
        )
    return True


def code_classes(folder: Path) -> list[str]:
    """The classes that the folder asks transformers to load from code of its own, as `module.Class`."""
    files = [folder / name for name in ("config.json", "tokenizer_config.json")]
    maps = [read_json(file, repair(folder)).get("auto_map") or {} for file in files if file.exists()]
    named = [item for found in maps for item in (found.values() if isinstance(found, dict) else [found])]
    return [name for item in named for name in (item if isinstance(item, list) else [item]) if name]


def _known_to_transformers(folder: Path) -> bool:
    from transformers import CONFIG_MAPPING

    return read_json(folder / "config.json", repair(folder)).get("model_type") in CONFIG_MAPPING
