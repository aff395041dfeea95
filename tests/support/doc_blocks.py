"""Checks of the code on the pages. `python -m support.doc_blocks`, in tests, counts what was run, checked and exempted.

- Shell: each command is read by what would run it: prunegrid's and Snakemake's own parsers, the Makefile's targets, the
  files that python, pytest and cp name. A program that is not ours is in FOREIGN, with the reason.
- Python: the block compiles, and prunegrid's modules and names in it exist. RUN names the tests that run whole pages.
- YAML: it parses, and the keys of an experiment file are known, down to the last; EXEMPT has what is of other files.
- JSON parses. Text without a language is not code.
"""

import argparse
import ast
import importlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import cli_page
import config_page
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.section import Section
from support.docs import all_pages
from support.snakemake_runs import ROOT

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+) *\n(?P<text>.*?)^(?P=indent)```", re.S | re.M)
INLINE = re.compile(r"(?<!`)`(prunegrid [a-z][^`]*)`(?!`)")
FOREIGN = {
    "trl": "TRL's command; tests/unit/api/test_own_data.py runs it",
    "lm_eval": "lm-eval's command",
    "open": "opens a page on a desktop",
    "xdg-open": "opens a page on a desktop",
    ".": "a shell's own",
    "cd": "a shell's own",
    "export": "a shell's own",
    "source": "a shell's own",
    "echo": "a shell's own",
    "cp": "copies what a run wrote",
    "mv": "moves what a run wrote",
    "rm": "deletes what a run wrote",
    "cat": "shows what a run wrote",
    "less": "shows what a run wrote",
    "git": "needs a remote or a history",
    "pip": "needs an index; the installation has a test of its own",
    "pipx": "needs an index",
    "uv": "needs an index",
    "conda": "needs a channel",
    "mamba": "needs a channel",
    "apt": "needs a package index and root",
    "sudo": "needs root",
    "docker": "needs an engine",
    "podman": "needs an engine",
    "apptainer": "needs an engine",
    "sbatch": "Slurm's command",
    "srun": "Slurm's command",
    "squeue": "Slurm's command",
    "scancel": "Slurm's command",
    "sinfo": "Slurm's command",
    "sacct": "Slurm's command",
    "ssh": "needs another machine",
    "rsync": "needs another machine",
    "nvidia-smi": "needs a GPU",
    "snakedeploy": "not in the environment; deploying has a test of its own",
    "llamafactory-cli": "LLaMA-Factory's command",
    "axolotl": "axolotl's command",
    "accelerate": "Accelerate's command",
    "torchrun": "torch's launcher",
    "mike": "writes the branch of a site",
    "curl": "needs the network",
    "wget": "needs the network",
    "tar": "packs what a run wrote",
    "gh": "needs an account",
    "twine": "needs an index",
}
RUN = {
    "README.md": "tests/unit/api/test_own_data.py",
    "docs/reference/python.md": "tests/unit/api/test_python_page.py",
    "docs/tutorials/own-data.md": "tests/unit/api/test_own_data.py",
    "docs/tutorials/own-pruner.md": "tests/unit/pruners/test_plugins.py",
    "docs/tutorials/sandbox.md": "tests/workflow/test_sandbox_tutorial.py",
}
EXEMPT = {  # (page, start of the block): why its keys are not an experiment's
    ("docs/how-to/add-a-benchmark.md", "metadata:"): "a task of lm-eval, in its own format",
}


class Block(NamedTuple):
    """Code on a page, and the line where it begins."""

    page: str
    line: int
    language: str
    text: str


def blocks() -> list[Block]:
    found = []
    for page in all_pages():
        text = (ROOT / page).read_text()
        for match in FENCE.finditer(text):
            inside = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.M)
            found.append(Block(page, text[: match.start()].count("\n") + 1, match["language"], inside))
    return found


def inline_commands() -> list[Block]:
    """The commands that stand in sentences."""
    found = []
    for page in all_pages():
        text = (ROOT / page).read_text()
        prose = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        for match in INLINE.finditer(prose):
            found.append(Block(page, text[: match.start()].count("\n") + 1, "inline", " ".join(match[1].split())))
    return found


def outcome(block: Block) -> str:
    """What is done with a block: run, checked, or exempted; ValueError if it is wrong."""
    match block.language:
        case "sh" | "bash":
            return _shell(block)
        case "inline":
            return _inline(block)
        case "python":
            return _python(block)
        case "yaml":
            return _yaml(block)
        case "json":
            json.loads(block.text)
            return "checked"
    return "not code" if block.language in ("text", "mermaid", "console", "bibtex") else "no check"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a block of shell, without its comments, variables and redirections."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        words = shlex.split(line, comments=True)
        command: list[str] = []
        for word in [*words, ";"]:
            if word in (";", "&&", "||", "|", "&"):
                if command:
                    yield command
                command = []
            elif word in (">", ">>", "2>"):
                command = [*command, ">"]
            elif command[-1:] == [">"]:
                command = command[:-1]
            elif command or not re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", word):
                command.append(word)


def _shell(block: Block) -> str:
    checked = False
    for program, *words in commands(block.text):
        name = program.removeprefix(".venv/bin/")
        if check := CHECKS.get(name):
            check(words)
            checked = True
        elif name not in FOREIGN:
            raise ValueError(f"{name} has no check; add one, or name the reason in FOREIGN")
    return "checked" if checked or block.page in RUN else "exempted"


def _prunegrid(words: list[str]) -> None:
    if "..." in words:
        _inline(Block("", 0, "inline", shlex.join(["prunegrid", *words])))
        return
    if words in (["--help"], ["--version"]) or words[1:] == ["--help"]:
        return
    parser = cli_page.commands().get(words[0] if words else "")
    if parser is None:
        raise ValueError(f"prunegrid has no command {words[:1]}")
    try:
        parser.error = _refuse  # type: ignore[method-assign]
        parser.parse_args(words[1:])
    except (argparse.ArgumentError, SystemExit) as error:
        raise ValueError(f"prunegrid {shlex.join(words)}: {error}") from None


def _refuse(message: str) -> Any:
    raise ValueError(message)


def _inline(block: Block) -> str:
    """A command in a sentence may lack what it needs: its name and its options exist."""
    words = block.text.split()[1:]
    parser = cli_page.commands().get(words[0])
    if parser is None:
        raise ValueError(f"prunegrid has no command {words[0]}")
    unknown = [
        word for word in re.findall(r"(?<!\S)--[a-z-]+", block.text) if word not in parser._option_string_actions
    ]
    if unknown and unknown != ["--help"]:
        raise ValueError(f"prunegrid {words[0]} has no {', '.join(unknown)}")
    return "checked"


def _snakemake(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser(profiles=[])
    parser.error = _refuse
    parser.parse_args([word for word in words if word != "..."])
    for option in ("--configfile", "--configfiles"):
        for file in words[words.index(option) + 1 :][:1] if option in words else []:
            _file(file)


def _make(words: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    if unknown := [word for word in words if "=" not in word and word not in targets]:
        raise ValueError(f"the Makefile has no {', '.join(unknown)}")


def _python_program(words: list[str]) -> None:
    if words[:1] == ["-m"]:
        CHECKS.get(words[1], lambda rest: None)(words[2:])
    elif words and words[0].endswith(".py"):
        _file(words[0])


def _pytest(words: list[str]) -> None:
    for word in words:
        if word.startswith(("tests", "benchmarks")):
            _file(word.partition("::")[0])


def _file(name: str) -> None:
    """A file of the repository; other names are the reader's."""
    folder = name.partition("/")[0]
    is_own = "/" in name and (ROOT / folder).is_dir() and folder != "results"
    if is_own and not (ROOT / name).exists() and "mine" not in name and "my" not in Path(name).name:
        raise ValueError(f"there is no {name}")


CHECKS = {
    "prunegrid": _prunegrid,
    "snakemake": _snakemake,
    "make": _make,
    "python": _python_program,
    "python3": _python_program,
    "pytest": _pytest,
}


def _python(block: Block) -> str:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in [alias.name for alias in node.names if alias.name.startswith("prunegrid")]:
                importlib.import_module(name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prunegrid"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                getattr(module, alias.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pg":
            getattr(importlib.import_module("prunegrid"), node.attr)
    return "run" if block.page in RUN else "checked"


def _yaml(block: Block) -> str:
    if any(page == block.page and block.text.strip().startswith(start) for page, start in EXEMPT):
        return "exempted"
    values = yaml.safe_load(block.text)
    if isinstance(values, dict) and values.keys() <= _profile_keys():
        return "checked"
    if isinstance(values, dict) and all(
        isinstance(each, dict) and {"task", "kind"} & {*each} for each in values.values()
    ):
        values = {"evaluation": {"benchmarks": values}}  # a part of a file
    required = {name for name, field in Experiment.model_fields.items() if field.is_required()}
    if isinstance(values, dict) and required <= values.keys():
        Experiment.model_validate(values)
    else:
        _known(values, Experiment, "")
    return "checked"


@cache
def _profile_keys() -> set[str]:
    """The keys of a Snakemake profile: its options."""
    from snakemake.cli import get_argument_parser

    return {option.removeprefix("--") for option in get_argument_parser(profiles=[])._option_string_actions}


def _known(values: Any, model: type[Section], path: str) -> None:
    """Every key of the section is one of its model's, and so are those within."""
    if not isinstance(values, dict):
        raise ValueError(f"{path or 'the block'} is no section")
    for key, value in values.items():
        if key == "...":
            continue
        if key not in model.model_fields:
            raise ValueError(f"{path}{key} is no key")
        for inside, suffix in config_page._models(model.model_fields[key].annotation):
            parts = list(value.values()) if suffix == ".<name>" and isinstance(value, dict) else [value]
            for part in parts:
                if isinstance(part, dict) and suffix != "[]" and not is_open(inside):
                    _known(part, inside, f"{path}{key}{suffix}.")


def is_open(model: type[Section]) -> bool:
    """Sections in which users write names of rows or columns beside the keys."""
    return model.__name__ in ("Difference", "Columns")


def main() -> None:
    counts = Counter((block.language, outcome(block)) for block in [*blocks(), *inline_commands()])
    for (language, done), count in sorted(counts.items()):
        print(f"{language:8} {done:10} {count}")


if __name__ == "__main__":
    main()
