"""A method's name and options: `random+ppl` (sample pruner + token pruner) or a joint pruner (`qtuning`)."""

import difflib
from dataclasses import dataclass
from typing import Any

from prunegrid.errors import PrunegridError
from prunegrid.pruners.registry import JOINT, SAMPLE, TOKEN, Pruner


@dataclass(frozen=True)
class Needs:
    """Score columns, each with the pruner that asks for it."""

    samples: dict[str, str]
    tokens: dict[str, str]


def parts(method: str) -> tuple[str, str | None]:
    """(sample pruner, token pruner); (joint pruner, None)."""
    if method in JOINT:
        return method, None
    names = method.split("+")
    if len(names) != 2 or not all(names):
        raise PrunegridError(_malformed(method))
    for name in set(names) & set(JOINT):
        raise PrunegridError(f"{method!r}: {name} is a joint pruner (samples and tokens); write it alone")
    _known("sample pruner", names[0], SAMPLE)
    _known("token pruner", names[1], TOKEN)
    return names[0], names[1]


def check(method: str, options: dict[str, Any]) -> None:
    """Refuse an unknown or malformed method, and options that it lacks or that are of another type."""
    filled(method, options)


def filled(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of `method`: those given, checked, and the defaults of the rest."""
    pruners = members(method)
    known = [name for pruner in pruners for name in pruner.known]
    for name in options:
        if name not in known:
            raise PrunegridError(f"{method} has no option {name!r}{_nearest(str(name), known, 'its options')}")
    return {name: value for pruner in pruners for name, value in pruner.filled(options, method).items()}


def members(method: str) -> list[Pruner]:
    """The registered pruners that `method` names: one (joint) or two (sample, token)."""
    first, second = parts(method)
    return [JOINT[first]] if second is None else [SAMPLE[first], TOKEN[second]]


def needs(method: str) -> Needs:
    """The score columns that `method` reads."""
    pruners = members(method)
    return Needs(
        samples={column: pruner.name for pruner in pruners for column in pruner.samples},
        tokens={column: pruner.name for pruner in pruners for column in pruner.tokens},
    )


def _known(kind: str, name: str, registry: dict[str, Pruner]) -> None:
    if name not in registry:
        raise PrunegridError(f"{name!r} is not a {kind}{_nearest(name, sorted(registry), f'known {kind}s')}")


def _malformed(method: str) -> str:
    whole = difflib.get_close_matches(method, JOINT, n=1)
    guess = f"did you mean {whole[0]}? " if whole else ""
    return (
        f"{method!r} is neither a joint pruner nor a pair; {guess}joint pruners: {', '.join(JOINT)}; "
        f"a pair is sample+token, such as random+ppl (sample pruners: {', '.join(sorted(SAMPLE))}; "
        f"token pruners: {', '.join(sorted(TOKEN))})"
    )


def _nearest(name: str, known: list[str], what: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"{guess}; {what}: {', '.join(known) or 'none'}"
