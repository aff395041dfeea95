"""Numbers as people read them, and the nearest name to a misspelt one."""

import difflib
from collections.abc import Collection, Sequence


def byte_size(count: float) -> str:
    """Bytes in decimal units: 0, 538 MB, 13.5 GB, 1.46 TB."""
    if not count:
        return "0"
    if count >= 1e12:
        return f"{count / 1e12:.2f} TB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits: 12 s, 34 min, 5.6 h."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def did_you_mean(name: str, known: Collection[str], count: int = 1, cutoff: float = 0.6) -> str:
    """`did you mean ppl or loss?`: up to `count` known names similar to `name`; empty if none is similar."""
    close = difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)
    return f"did you mean {' or '.join(close)}?" if close else ""


def counted(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def enumerated(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
