"""Permission to run code from a model's folder: only if the config names the model and says why.

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
    """Allow the code of these folders to run within the block; without a reason, allow nothing.

    The permission is an environment variable, since it must reach the processes that the block starts: training's
    ranks, which torchrun starts, and vLLM's workers.
    """
    previous = os.environ.get(ALLOWED, "")
    if reason:
        print(f"the model's own code may run, because: {reason}", flush=True)
        os.environ[ALLOWED] = "\n".join([previous, *(str(Path(folder).resolve()) for folder in folders)])
    try:
        yield
    finally:
        os.environ[ALLOWED] = previous


def trust_reason(config: Mapping[str, Any], model: str) -> str | None:
    """Why the experiment's `config` trusts the code of `model` (or of `<model>@reference`); None if it does not."""
    name, _, suffix = model.partition("@")
    source = config["models"][name]
    reason: str | None = (source["reference"] if suffix == "reference" else source).get("trust_remote_code")
    return reason


def may_run_code(folder: Path) -> bool:
    """Whether the folder has code of its own that may run: the value for transformers' `trust_remote_code`.

    Without permission, a model that transformers has a class for is loaded with that class. A folder that cannot be
    loaded without its code, or whose code is in another repository, is refused.
    """
    classes = code_classes(folder)
    if not classes:
        return False
    if str(folder.resolve()) not in os.environ.get(ALLOWED, "").splitlines():
        if _known_to_transformers(folder):
            return False
        problem = f"the model needs code from its folder ({classes[0]}), which does not run without permission"
        fix = "read it, then state why it may run: models.NAME.trust_remote_code: REASON"
        raise PrunegridError(folder, problem, fix)
    if external := [name for name in classes if "--" in name]:
        problem = f"its code is in another repository ({external[0]}), whose revision nothing pins"
        fix = "copy those files into the model's folder, and remove the part up to '--' from auto_map"
        raise PrunegridError(folder, problem, fix)
    return True


def code_classes(folder: Path) -> list[str]:
    """The classes that transformers would load from code in the folder, as `module.Class`."""
    files = [folder / name for name in ("config.json", "tokenizer_config.json")]
    maps = [read_json(file, repair(folder)).get("auto_map") or {} for file in files if file.exists()]
    entries = [entry for auto in maps for entry in (auto.values() if isinstance(auto, dict) else [auto])]
    return [name for entry in entries for name in (entry if isinstance(entry, list) else [entry]) if name]


def _known_to_transformers(folder: Path) -> bool:
    from transformers import CONFIG_MAPPING  # here, for it takes seconds, which the plan and the CLI do without

    return read_json(folder / "config.json", repair(folder)).get("model_type") in CONFIG_MAPPING
