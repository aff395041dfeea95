"""Shell on the pages: each command is read by what would run it.

- prunegrid's and Snakemake's own parsers; the Makefile's targets, the workflow's rules, the config's keys.
- The files that python and pytest name, and the options of a script, which its text has.
- What follows our image in `docker run` and `apptainer run`, and what srun and sbatch start.

A program that is not ours is in FOREIGN, with the reason.
"""

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cli_page
from prunegrid.experiment.config import Experiment
from support.snakemake_runs import ROOT

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
    "docker": "needs an engine; what follows our image is checked",
    "podman": "needs an engine",
    "apptainer": "needs an engine; what follows our image is checked",
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
ENGINES = ("docker", "podman", "apptainer")
IMAGE = re.compile(r"prunegrid:\w+|\S+\.sif")
CONTAINER_COMMAND = re.compile(rf"\b(?:{'|'.join(ENGINES)}) (?:run|exec) [^`\n]+")
ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*")


def outcome(text: str) -> str:
    """Checked, or exempted where every program is another's; ValueError if a command is wrong."""
    checked = [_command(program.removeprefix(".venv/bin/"), words) for program, *words in commands(text)]
    return "checked" if any(checked) else "exempted"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a block of shell, without its comments, variables and redirections.

    A block that begins with a prompt shows what the commands print: only the lines with a prompt are read.
    """
    text = re.sub(r"\\\n\s*", " ", text)
    if text.startswith("$ "):
        text = "\n".join(re.findall(r"^\$ (.*)", text, re.M))
    for line in text.splitlines():
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
            elif command or not ASSIGNMENT.fullmatch(word):
                command.append(word)


def is_shell(text: str) -> bool:
    """Whether text without a language begins with a prompt or a program that is known here."""
    words = [word for word in text.split() if not ASSIGNMENT.fullmatch(word)]
    program = next(iter(words), "").removeprefix(".venv/bin/")
    return program == "$" or program in CHECKS or (program in FOREIGN and program != ".")


def container_commands(text: str) -> list[str]:
    """What engines are given in the comments of a Dockerfile or a definition."""
    lines = re.sub(r"\\\n#?\s*", " ", text)
    return [match[0] for match in CONTAINER_COMMAND.finditer(lines) if any(map(IMAGE.fullmatch, match[0].split()))]


def _command(name: str, words: list[str]) -> bool:
    if check := CHECKS.get(name):
        check(words)
        return True
    if name not in FOREIGN:
        raise ValueError(f"{name} has no check; add one, or name the reason in FOREIGN")
    started = [_command(program, rest) for program, *rest in _started(name, words)]
    return any(started)


def _started(name: str, words: list[str]) -> Iterator[list[str]]:
    """The command that a container's engine or Slurm starts."""
    if name in ENGINES and words[0] in ("run", "exec"):
        place = next((place for place, word in enumerate(words) if IMAGE.fullmatch(word)), None)
        if place is None:
            return
        entry = ["prunegrid"] if words[0] == "run" else []
        if "--entrypoint" in words[:place]:
            entry = [words[words.index("--entrypoint") + 1]]
        yield [*entry, *(words[place + 1 :] or ["--help"])]
    elif name == "srun":
        yield from [words[place:] for place, word in enumerate(words) if word in CHECKS][:1]
    elif name == "sbatch" and "--wrap" in words:
        yield from commands(words[words.index("--wrap") + 1])


def _prunegrid(words: list[str]) -> None:
    if any(word == "..." or word.startswith("[") for word in words):  # a usage
        names_exist(" ".join(["prunegrid", *words]))
        return
    if words in (["--help"], ["--version"]) or words[1:] == ["--help"]:
        return
    try:
        _parser(words[0] if words else "").parse_args(words[1:])
    except (argparse.ArgumentError, SystemExit) as error:
        raise ValueError(f"prunegrid {shlex.join(words)}: {error}") from None


@cache
def _parser(command: str) -> argparse.ArgumentParser:
    if command not in _parsers():
        raise ValueError(f"prunegrid has no command {command!r}")
    parser = _parsers()[command]
    parser.error = _refuse  # type: ignore[method-assign]
    return parser


_parsers = cache(cli_page.commands)


def _refuse(message: str) -> Any:
    raise ValueError(message)


def names_exist(text: str) -> str:
    """A command in a sentence may lack what it needs: its name and its options exist."""
    parser = _parser(text.split()[1])
    known = {*parser._option_string_actions, "--help"}
    if unknown := [word for word in re.findall(r"(?<![^\s\[])--[a-z-]+", text) if word not in known]:
        raise ValueError(f"{' '.join(text.split()[:2])} has no {', '.join(unknown)}")
    return "checked"


def _snakemake(words: list[str]) -> None:
    values = snakemake_parser().parse_args([word for word in words if word != "..."])
    for option in ("--configfile", "--configfiles"):
        for file in words[words.index(option) + 1 :][:1] if option in words else []:
            _file(file)
    if unknown := [word for word in values.targets if re.fullmatch(r"[a-z_]+", word) and word not in _rules()]:
        raise ValueError(f"the workflow has no rule {', '.join(unknown)}")
    keys = [word.partition("=")[0] for word in values.config or []]
    if unknown := [key for key in keys if key not in Experiment.model_fields]:
        raise ValueError(f"the config has no key {', '.join(unknown)}")


@cache
def snakemake_parser() -> Any:
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser(profiles=[])
    parser.error = _refuse
    return parser


@cache
def _rules() -> set[str]:
    texts = [path.read_text() for path in (ROOT / "workflow").rglob("*.smk")]
    return {name for text in texts for name in re.findall(r"^ *(?:rule|checkpoint) (\w+):", text, re.M)}


def _make(words: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    if unknown := [word for word in words if "=" not in word and word not in targets]:
        raise ValueError(f"the Makefile has no {', '.join(unknown)}")


def _python_program(words: list[str]) -> None:
    if words[:1] == ["-m"]:
        if words[1] in CHECKS:
            CHECKS[words[1]](words[2:])
        elif words[1].startswith(("prunegrid", "support")) and not importlib.util.find_spec(words[1]):
            raise ValueError(f"there is no module {words[1]}")
    elif words and "/" in words[0]:
        _file(words[0])
        text = _script(ROOT / words[0])
        options = [word[2:].partition("=")[0] for word in words[1:] if word.startswith("--")]
        if unknown := [option for option in options if text and not re.search(rf'"(--)?{option}"', text)]:
            raise ValueError(f"{words[0]} has no --{', --'.join(unknown)}")


def _script(path: Path) -> str:
    """The text of a script of the repository with the modules beside it, or of a folder that is run; else nothing."""
    if path.is_dir():
        return "".join(file.read_text() for file in path.glob("*.py"))
    if not path.exists():
        return ""
    text = path.read_text()
    beside = [path.with_name(f"{name}.py") for name in re.findall(r"^(?:from|import) (\w+)", text, re.M)]
    return text + "".join(file.read_text() for file in beside if file.exists())


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
