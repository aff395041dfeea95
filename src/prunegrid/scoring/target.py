"""The folder that scores of one's own data are written to: what must not be replaced, and what is there already."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunegrid.core import locks
from prunegrid.core.disk_errors import free_bytes
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_json, sha256
from prunegrid.core.versions import STEP
from prunegrid.experiment import layout
from prunegrid.scoring.origin import results_folder
from prunegrid.scoring.sequences import Sequences

LOCK = ".lock"
FIRST_STEP = 2  # of scores that do not record it, which 0.1.0 wrote


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Hold the folder `out` against another process that would write it.

    Folders that this creates are removed if nothing is put into them.
    """
    if out.is_file():
        raise PrunegridError(out, "is a file, and scores are a folder", "give another --out")
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        descriptor = locks.acquire(out / LOCK)
    except OSError as error:
        problem = f"cannot be written ({os.strerror(error.errno or 0)})"
        raise PrunegridError(out, problem, "give an --out that you may write") from None
    if descriptor is None:
        problem = f"is written by another command ({locks.holder(out / LOCK)})"
        raise PrunegridError(out, problem, "wait for it, or stop it")
    try:
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        for folder in created:
            if not any(folder.iterdir()):
                folder.rmdir()


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that is not one of scores, and scores that a workflow has made."""
    if root := results_folder(out):
        raise PrunegridError(out, f"holds scores of the experiment in {root}", "give another --out")
    scores = {layout.SAMPLES, layout.TOKENS, layout.META, layout.EXTRA}
    names = {*scores, layout.DATA, layout.DATA_COUNTS, layout.TOKENIZER, layout.PASS, LOCK}
    foreign = sorted(file.name for file in out.iterdir() if file.name not in names and file.suffix != ".tmp")
    if foreign:
        problem = f"would be replaced, but is not a scores directory ({', '.join(foreign[:3])})"
        raise PrunegridError(out, problem, "give another --out")


def refuse_extra(out: Path) -> None:
    """Refuse to replace scores whose optional scores would no longer match."""
    if (out / layout.EXTRA).is_dir():
        problem = "extra/ holds optional scores of the scores that would be replaced"
        raise PrunegridError(out, problem, "remove it, or give another --out")


def present_scores(out: Path, digests: dict[str, str]) -> dict[str, Any] | None:
    """The meta of complete scores with these digests of today's scoring step; None if there are none."""
    files = [out / name for name in (layout.SAMPLES, layout.TOKENS, layout.DATA)]
    if not all(file.is_file() for file in (*files, out / layout.META, out / layout.TOKENIZER / "tokenizer.json")):
        return None
    meta: dict[str, Any] = read_json(out / layout.META)
    if meta.get("digests") != digests or meta.get("step", FIRST_STEP) != STEP["score"]:
        return None
    try:
        for file in files:
            parquet_schema(file)
    except PrunegridError:  # damaged: scored again
        return None
    return meta if sha256(out / layout.DATA) == digests["data"] else None


def check_space(out: Path, sequences: Sequences) -> None:
    """Refuse a disk that has no room for the pass's own files (8 values a response token) and the scores."""
    prompt, response = int(sequences.prompt_N.sum()), int(sequences.response_N.sum())
    required = 100 * len(sequences) + 8 * prompt + 56 * response
    if (free := free_bytes(out)) < required:
        problem = (
            f"needs about {required / 1e9:.3f} GB for {prompt + response:,} tokens, but {free / 1e9:.3f} GB are free"
        )
        raise PrunegridError(out, problem, "free disk space, or give another --out")
