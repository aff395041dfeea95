"""The page of all commands and their options, from the parsers that read them (`prunegrid.cli`)."""

import argparse
import os
from unittest import mock

from prunegrid.cli.app import _parser

OPENING = """# Command line

Look up any command of `prunegrid` and its options. This page is generated from the commands' own parsers, as is
`prunegrid COMMAND --help`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error: one line names it and its fix. `status`: not all is done. `verify`, `doctor`: a finding |
| 2 | an unknown option, or a missing argument |
| 130 | interrupted (Ctrl-C) |
"""
WIDTH = "100"  # of a usage line


def page() -> str:
    return "\n".join([OPENING, _overview(), *map(_command, commands().values())])


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, in the order of `prunegrid --help`."""
    actions = _parser()._actions
    return next(dict(action.choices) for action in actions if isinstance(action, argparse._SubParsersAction))


def _overview() -> str:
    rows = [f"| [`{name}`](#{name}) | {_text(parser.description or '')} |" for name, parser in commands().items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows, ""])


def _command(parser: argparse.ArgumentParser) -> str:
    name = parser.prog.rpartition(" ")[2]
    with mock.patch.dict(os.environ, COLUMNS=WIDTH):
        usage = parser.format_usage().removeprefix("usage: ").replace("\n       ", "\n").rstrip()
    parts = [f"## `{parser.prog}` {{ #{name} }}", _text(parser.description or ""), f"```text\n{usage}\n```"]
    parts.append("\n".join(["| argument | default | meaning |", "|---|---|---|", *map(_row, _shown(parser))]))
    if parser.epilog:
        parts.append(f"Example: `{parser.epilog.removeprefix('example: ')}`")
    if any("--pair" in action.option_strings for action in parser._actions):
        parts.append("The names of the pruners are in [Pruners](pruners.md).")
    return "\n\n".join(parts) + "\n"


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments, those without a dash first."""
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    return sorted(actions, key=lambda action: bool(action.option_strings))


def _row(action: argparse.Action) -> str:
    names = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar or action.dest}`"
    meaning, default = _meaning(action)
    choices = list(map(str, action.choices or ()))
    if not all(choice in meaning for choice in choices):
        meaning = "; ".join(filter(None, [meaning, "one of " + ", ".join(f"`{choice}`" for choice in choices)]))
    return f"| {names} | {default} | {_text(meaning)} |"


def _meaning(action: argparse.Action) -> tuple[str, str]:
    """An option's help, and its default: the value, or what the help says in words."""
    text, given, words = (action.help or "").replace("%%", "%").partition("default: ")
    if action.required and action.option_strings:
        return text, "**required**"
    if given and not words.startswith("%"):
        return text.rstrip(" (;"), words.rstrip(")")
    is_shown = action.default not in (None, False, "", argparse.SUPPRESS) and action.default != []
    return text, f"`{action.default}`" if is_shown else ""


def _text(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
