"""The help of the commands: every option's default, and the pruners where a command takes one."""

import argparse
from collections.abc import Iterable
from textwrap import fill

WIDTH = 80


class Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default of an option that has one, unless its help says it in words."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        help_text = action.help or ""
        is_flag = action.default is None or action.default is False or action.default in ("", [], argparse.SUPPRESS)
        return help_text if is_flag or "default" in help_text else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """A parser whose help ends with the names of the pruners, where it has the option --pair."""

    def format_help(self) -> str:
        for action in self._actions:
            if action.help is None and action.default is not None:
                action.help = "default: %(default)s"
        takes_pruners = any("--pair" in action.option_strings for action in self._actions)
        return super().format_help() + (_pruners() if takes_pruners else "")


def _pruners() -> str:
    from prunegrid import pruners

    kinds = {"sample pruners": pruners.SAMPLE, "token pruners": pruners.TOKEN, "joint": pruners.JOINT}
    return "\n" + "\n".join(_names(kind, registry) for kind, registry in kinds.items()) + "\n"


def _names(kind: str, names: Iterable[str]) -> str:
    return fill(f"{kind}: {', '.join(names)}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
