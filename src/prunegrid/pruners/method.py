"""A method's name and options: `random+ppl` (sample pruner + token pruner) or a joint pruner (`qtuning`).

Either part may be `module:function`, a pruner from outside (`prunegrid.pruners.plugins`).
"""

from dataclasses import dataclass
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import did_you_mean
from prunegrid.pruners import plugins
from prunegrid.pruners.registry import JOINT, SAMPLE, TOKEN, Pruner

READING, PAPER = "reading", "paper"
AUTHORS = "authors-2025-09"  # the working copy of the paper's authors, as it was public in September 2025


@dataclass(frozen=True)
class Needs:
    """Score columns, each with the pruner that asks for it."""

    samples: dict[str, str]
    tokens: dict[str, str]


def pruner_names(method: str) -> tuple[str, str | None]:
    """The registered names: (sample pruner, token pruner) or (joint pruner, None)."""
    names = [pruner.name for pruner in find_pruners(method)]
    return names[0], names[1] if len(names) == 2 else None


def check_method(method: str, options: dict[str, Any]) -> None:
    """Refuse an unknown or malformed method, and unknown or invalid options."""
    needs(method, options)


def complete_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of `method`: those given, checked, and the defaults of the rest."""
    pruners = find_pruners(method)
    names = [name for pruner in pruners for name in pruner.options.names]
    for name in options:
        if name not in [*names, READING]:
            raise PrunegridError(method, f"has no option {name!r}", _suggest(str(name), names))
    options = _read(pruners, method, options)
    return {name: value for pruner in pruners for name, value in pruner.options.complete(options, method).items()}


def member(pair: str, place: int, options: dict[str, Any]) -> tuple[Pruner, dict[str, Any]]:
    """The sample (0) or token pruner (1) of a pair, with all of its options; for pruners that call another one."""
    pruner = find_pruners(pair)[place]
    return pruner, pruner.options.complete(complete_options(pair, options), pair)


def _read(pruners: list[Pruner], method: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options with those of their `reading` in its place."""
    given = {name: value for name, value in options.items() if name != READING}
    reading, known = options.get(READING, PAPER), dict[str, dict[str, Any]]({PAPER: {}})
    for pruner in pruners:
        for name, values in pruner.readings.items():
            known[name] = known.get(name, {}) | values
    if reading not in known:
        fix = did_you_mean(str(reading), known) or f"choose from: {', '.join(known)}"
        raise PrunegridError(f"{method}: {READING}", f"is {reading!r}", fix)
    return known[reading] | given


def find_pruners(method: str) -> list[Pruner]:
    """The registered pruners that `method` names: one (joint) or two (sample, token)."""
    names = method.split("+")
    if len(names) == 1 and (names[0] in JOINT or ":" in names[0] or _installed(names[0], JOINT)):
        return [_find(names[0], JOINT, "joint pruner")]
    if len(names) != 2 or not all(names):
        raise _malformed(method)
    for name in set(names) & set(JOINT):
        raise PrunegridError(method, f"{name} is a joint pruner (samples and tokens)", "write it alone")
    return [_find(names[0], SAMPLE, "sample pruner"), _find(names[1], TOKEN, "token pruner")]


def all_pruners(method: str, options: dict[str, Any]) -> list[Pruner]:
    """The pruners that `method` names, and those that these call under `options`."""
    members = [(pruner, complete_options(method, options)) for pruner in find_pruners(method)]
    for pruner, complete in members:  # it grows: a called one may call another
        members += pruner.calls(complete)
    return [pruner for pruner, _ in members]


def needs(method: str, options: dict[str, Any] | None = None) -> Needs:
    """The score columns that `method` reads under `options`."""
    pruners, complete = find_pruners(method), complete_options(method, options or {})
    return Needs(
        samples={column: pruner.name for pruner in pruners for column in pruner.sample_columns(complete)},
        tokens={column: pruner.name for pruner in pruners for column in pruner.token_columns(complete)},
    )


def _find(name: str, registry: dict[str, Pruner], kind: str) -> Pruner:
    if ":" in name:
        return plugins.import_pruner(name, registry, kind)
    if name not in registry and not _installed(name, registry):
        raise PrunegridError(name, f"is not a {kind}", _suggest(name, sorted(registry)))
    return registry[name]


def _installed(name: str, registry: dict[str, Pruner]) -> bool:
    plugins.load_installed()
    return name in registry


def _malformed(method: str) -> PrunegridError:
    pair = f"a pair sample+token such as random+ppl ({_names(SAMPLE, 'sample')}; {_names(TOKEN, 'token')})"
    fix = f"{did_you_mean(method, JOINT)} name a joint pruner ({', '.join(JOINT)}) or {pair}".lstrip()
    return PrunegridError(method, "is neither a joint pruner nor a pair", fix)


def _names(registry: dict[str, Pruner], kind: str) -> str:
    return f"{kind} pruners are {', '.join(sorted(registry))}"


def _suggest(name: str, names: list[str]) -> str:
    return f"{did_you_mean(name, names)} known: {', '.join(names) or 'none'}".lstrip()
