"""What `prunegrid verify` prints: what was checked, what could not be, and every problem; for people or as JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunegrid.verification.hashes import LARGE
from prunegrid.verification.verify import Verification


def report_lines(directory: Path, verification: Verification) -> Iterator[str]:
    yield f"{directory}:"
    yield from (f"  {line}" for line in _checked(directory, verification))
    yield from (f"  not checked: {line}" for line in _unchecked(verification))
    for problem in verification.problems:
        yield f"PROBLEM {problem}"
    count = len(verification.problems)
    yield "no problem found" if not count else f"problems: {count}"


def _checked(directory: Path, verification: Verification) -> Iterator[str]:
    matched = verification.walk.matched
    kinds = ", ".join(f"{kind} {count}" for kind, count in matched.items())
    yield f"matching digests, by the record that holds them: {matched.total()} ({kinds})"
    if numbers := verification.numbers:
        yield (
            f"recomputed from {numbers.values} item values: {numbers.scores} scores, {numbers.averages} averages and "
            f"{numbers.deltas} deltas match results.parquet; {numbers.csv_numbers} scores, spreads and deltas match "
            "table.csv"
        )
        names = (str(file.relative_to(directory)) for file in numbers.files)
        yield f"regenerated and identical: {', '.join(names)}"
    if (columns := verification.columns) and not columns.problems:
        yield (
            f"recomputed from selections, scores and trainings: Kept, Tokens and Cost of {columns.cells} cells match "
            f"results.parquet; {columns.csv_numbers} numbers match table.csv"
        )
    if recheck := verification.recheck:
        ending = "" if recheck.problems else ", all with matching answers"
        yield f"items re-evaluated: {recheck.items}, from {recheck.models} models{ending} (--seed {recheck.seed})"
        yield from recheck.remarks


def _unchecked(verification: Verification) -> Iterator[str]:
    """What no digest speaks for, each with its number."""
    walk = verification.walk
    if total := walk.unnamed.total():
        kinds = ", ".join(f"{kind} {count}" for kind, count in walk.unnamed.items())
        yield f"links without a digest, from an older version: {total} ({kinds})"
    if unread := len(walk.hashes.unread):
        yield f"contents of weight files over {LARGE >> 20} MiB (--deep hashes them): {unread}"
    if walk.deleted:
        yield f"models whose weights were deleted: {len(walk.deleted)}"
    if walk.unpublished:
        yield f"files left out when the folder was published: {', '.join(sorted(walk.unpublished))}"
    if walk.elsewhere:
        yield f"sources missing on this machine: {', '.join(walk.elsewhere)}"
    for reason, count in verification.recheck.left_out.items() if verification.recheck else ():
        yield f"items that cannot be re-evaluated, because {reason}: {count}"
    if verification.unfinished:
        yield f"cells that are partly or fully unfinished (see prunegrid status): {verification.unfinished}"


def as_json(directory: Path, verification: Verification) -> dict[str, Any]:
    """The same for programs."""
    walk, numbers = verification.walk, verification.numbers
    columns, recheck = verification.columns, verification.recheck
    return {
        "directory": str(directory),
        "problems": [{"where": each.where, "what": each.what, "fix": each.fix} for each in verification.problems],
        "digests": dict(walk.matched),
        "no_digest": dict(walk.unnamed),
        "sizes_only": sorted(map(str, walk.hashes.unread)),
        "deleted": walk.deleted,
        "unpublished": sorted(walk.unpublished),
        "elsewhere": walk.elsewhere,
        "asked_again": {"items": recheck.items, "models": recheck.models, "seed": recheck.seed} if recheck else None,
        "unfinished": verification.unfinished,
        "recomputed": {
            "item_values": numbers.values if numbers else 0,
            "scores": numbers.scores if numbers else 0,
            "averages": numbers.averages if numbers else 0,
            "deltas": numbers.deltas if numbers else 0,
            "cells": columns.cells if columns else 0,
        },
    }
