"""Checks of the code on the pages.

`PYTHONPATH=src:tests:docs/_site python -m support.doc_blocks` counts what was run, checked and exempted.

- Shell: each command is read by what would run it (support/doc_shell.py).
- Python: the block compiles, and prunegrid's modules and names in it exist. RUN names the tests that run whole pages.
- YAML: it parses, and the keys of an experiment file are known, down to the last; EXEMPT has what is of other files.
- JSON parses. Text without a language is not code, unless it is indented and begins as shell or as a section of YAML.
"""

import ast
import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

import config_page
import markdown_links
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.section import Section
from support import doc_shell
from support.docs import all_pages
from support.snakemake_runs import ROOT

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+) *\n(?P<text>.*?)^(?P=indent)```", re.S | re.M)
INDENTED = re.compile(r"(?<=\n)(?: *\n)+(?P<text>(?: {4}.*\n(?: *\n(?= {4}))*)+)")
SECTION = re.compile(r"[a-z][\w-]*:(?: *#.*| *[{\[].*)?\n")
LIST_ITEM = re.compile(r"([-*+]|\d+[.)]) ")
IN_SENTENCES = "snakemake|make|python3?|pytest|docker|podman|apptainer|srun|sbatch"
INLINE = re.compile(rf"(?<!`)`((?:prunegrid [a-z]|(?:[A-Z]+=\S+ )?(?:{IN_SENTENCES}) )[^`]*)`(?!`)")
RUN = {
    "README.md": "tests/unit/api/test_own_data.py",
    "docs/reference/python.md": "tests/unit/api/test_python_page.py",
    "docs/tutorials/own-data.md": "tests/unit/api/test_own_data.py",
    "docs/tutorials/own-pruner.md": "tests/unit/pruners/test_plugins.py",
    "docs/tutorials/sandbox.md": "tests/workflow/test_sandbox_tutorial.py",
}
EXEMPT = {  # (page, start of the block): why its keys are not an experiment's
    ("CONTRIBUTING.md", "metadata:"): "a task of lm-eval, in its own format",
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
        for line, inside in indented(text):
            if doc_shell.is_shell(inside):
                found.append(Block(page, line, "sh", inside))
            elif SECTION.match(inside):
                found.append(Block(page, line, "yaml", inside))
    return found


def indented(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each block that is indented by four spaces, outside fences and lists."""
    for match in INDENTED.finditer(markdown_links.FENCE.sub(_hidden, text)):
        start = match.start("text")
        before = [line for line in text[:start].splitlines() if line.strip() and line[0] != " "]
        if not before or not LIST_ITEM.match(before[-1]):
            yield text[:start].count("\n") + 1, re.sub(r"^ {4}", "", text[start : match.end("text")], flags=re.M)


def _hidden(fence: re.Match[str]) -> str:
    """A fence of as many characters in the same column, whose lines are not indented further."""
    inside = rf"^( {{0,{len(fence['indent'])}}})(.*)$"
    return re.sub(inside, lambda line: line[1] + "-" * len(line[2]), fence[0], flags=re.M)


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
            done = doc_shell.outcome(block.text)
            return "checked" if block.page in RUN else done
        case "inline":
            return (doc_shell.names_exist if block.text.startswith("prunegrid") else doc_shell.outcome)(block.text)
        case "python":
            return _python(block)
        case "yaml":
            return _yaml(block)
        case "json":
            json.loads(block.text)
            return "checked"
    return "not code" if block.language in ("text", "mermaid", "console", "bibtex") else "no check"


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
    profile_keys = {option.removeprefix("--") for option in doc_shell.snakemake_parser()._option_string_actions}
    if isinstance(values, dict) and values.keys() <= profile_keys:
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
