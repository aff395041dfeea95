"""Prune: from a folder of scores to `selection.parquet` and `selection.json`, for the rule and `prunegrid prune`.

`choose` and `cut` of the only shard, in one process: samples are chosen from the sample table, then tokens are
streamed block by block.
"""

from pathlib import Path

from prunegrid.core import files, parts
from prunegrid.experiment import layout
from prunegrid.pruners import PruningSpec
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.choose import decide
from prunegrid.selection.cut import write_selection
from prunegrid.selection.memory import ScoresInMemory
from prunegrid.selection.summary import SelectionSummary


def prune(
    source: Path | ScoresFolder | ScoresInMemory,
    out_dir: Path,
    spec: PruningSpec,
    seed: int,
    *,
    match: Path | None = None,
    expected_digests: dict[str, str] | None = None,
    budget: dict[str, str] | None = None,
    root: Path | None = None,
) -> SelectionSummary:
    """Write a selection, whole or not at all, and return its summary. `source` is a scores folder; `seed` the cell's.

    `match` is the `selection.json` whose realised counts a pair meets instead of the ratios. `budget` is recorded: what
    the ratios of `spec` were made from. `root`, a results folder, is what the names of `inputs` are relative to.
    """
    folder = ScoresFolder(source) if isinstance(source, Path) else source
    chosen = decide(folder, out_dir, spec, seed, match, expected_digests, budget, root)
    with files.replacing(out_dir / layout.SELECTION) as temporary:
        cut = write_selection(temporary, folder, chosen.scores, chosen.choice, chosen.facts.spec)
        summary = chosen.facts.summary(cut, selection=files.sha256(temporary))
        summary.write(out_dir / layout.SUMMARY)
    parts.remove_others(out_dir / layout.PARTS)  # of an older selection, in shards
    return summary
