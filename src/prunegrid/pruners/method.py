"""A method's name and options: `random+ppl` (sample pruner + token pruner) or a joint pruner (`qtuning`).

Either part may be `module:function`, a pruner from outside (`prunegrid.pruners.plugins`).
"""

from dataclasses import dataclass
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import did_you_mean
from prunegrid.pruners import plugins
from prunegrid.pruners.registry import JOINT, SAMPLE, TOKEN, Pruner


@dataclass(frozen=True)
class Needs:
    """Score columns, each with the pruner that asks for it."""

    samples: dict[str, str]
    tokens: dict[str, str]


def parts(method: str) -> tuple[str, str | None]:
    """(sample pruner, token pruner); (joint pruner, None): the names they are registered under."""
    names = [pruner.name for pruner in members(method)]
    return names[0], names[1] if len(names) == 2 else None


def check(method: str, options: dict[str, Any]) -> None:
    """Refuse an unknown or malformed method, and options that it lacks, refuses or that are of another type."""
    needs(method, options)


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
    names = method.split("+")
    if len(names) == 1 and (names[0] in JOINT or ":" in names[0] or _installed(names[0], JOINT)):
        return [_find(names[0], JOINT, "joint pruner")]
    if len(names) != 2 or not all(names):
        raise PrunegridError(_malformed(method))
    for name in set(names) & set(JOINT):
        raise PrunegridError(f"{method!r}: {name} is a joint pruner (samples and tokens); write it alone")
    return [_find(names[0], SAMPLE, "sample pruner"), _find(names[1], TOKEN, "token pruner")]


def needs(method: str, options: dict[str, Any] | None = None) -> Needs:
    """The score columns that `method` reads under `options`."""
    pruners, complete = members(method), filled(method, options or {})
    return Needs(
        samples={column: pruner.name for pruner in pruners for column in pruner.sample_columns(complete)},
        tokens={column: pruner.name for pruner in pruners for column in pruner.token_columns(complete)},
    )


def _find(name: str, registry: dict[str, Pruner], kind: str) -> Pruner:
    if ":" in name:
        return plugins.imported(name, registry, kind)
    if name not in registry and not _installed(name, registry):
        raise PrunegridError(f"{name!r} is not a {kind}{_nearest(name, sorted(registry), f'known {kind}s')}")
    return registry[name]


def _installed(name: str, registry: dict[str, Pruner]) -> bool:
    plugins.load_installed()
    return name in registry


def _malformed(method: str) -> str:
    guess = (did_you_mean(method, JOINT) + " ").lstrip()
    return (
        f"{method!r} is neither a joint pruner nor a pair; {guess}joint pruners: {', '.join(JOINT)}; "
        f"a pair is sample+token, such as random+ppl (sample pruners: {', '.join(sorted(SAMPLE))}; "
        f"token pruners: {', '.join(sorted(TOKEN))})"
    )


def _nearest(name: str, known: list[str], what: str) -> str:
    parts = (did_you_mean(name, known), f"{what}: {', '.join(known) or 'none'}")
    return "".join(f"; {part}" for part in parts if part)
