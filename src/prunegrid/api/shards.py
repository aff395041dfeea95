"""A selection in shards, which several machines cut: choose once, then cut each shard anywhere."""

from pathlib import Path
from typing import Any

from prunegrid.api.selection import Folder, Ratio, Selection, match_file, pruning_spec
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.models import describe
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection import choose as choosing
from prunegrid.selection import cut as cutting


def choose(
    scores: Folder,
    pair: str,
    *,
    out: Folder,
    samples: Ratio = 1.0,
    tokens: Ratio = 1.0,
    seed: int = 0,
    match: Folder | Selection | None = None,
    model: Folder | None = None,
    **rest: Any,
) -> Path:
    """Choose samples: what `prunegrid choose` does. Returns the choice file in the folder `out`, for `cut`.

    The arguments are those of `prune`.
    """
    source, path = ScoresFolder(Path(scores)), Path(out) / layout.CHOICE
    if path.parent.is_file():
        raise PrunegridError(path.parent, "is a file, not a folder", "name another one")
    spec, budget = pruning_spec(source, pair, samples, tokens, seed, **rest)
    digests = describe(Path(model))["digests"] if model else None
    choosing.choose(source, path, spec, seed, match=match_file(match), expected_digests=digests, budget=budget)
    return path


def cut(folder: Folder, shard: int, shards: int, scores: Folder | None = None) -> list[int]:
    """Cut one of n shards by the choice in `folder`; return the shards that are missing still.

    `scores` is the folder, where it is not where the choice says. Once no shard is missing, `selection.json` is there,
    too, and `Selection.open` reads the folder.
    """
    if not 1 <= shard <= shards:
        raise PrunegridError("shard", f"is {shard}/{shards}", "give one from 1/n to n/n")
    choice = Path(folder) / layout.CHOICE
    if not choice.is_file():
        raise PrunegridError(choice, "no such file", "choose first, with `prunegrid choose`")
    cutting.cut(choice, (shard, shards), None if scores is None else Path(scores))
    missing = cutting.missing_shards(choice, shards)
    if not missing:
        cutting.gather(choice, shards)
    return missing
