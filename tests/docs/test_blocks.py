"""Every block of shell, Python, YAML and JSON on the pages is checked, or exempted with a reason."""

import pytest

import cli_page
from support import doc_blocks, doc_shell
from support.doc_blocks import Block, outcome
from support.snakemake_runs import ROOT

BLOCKS = [*doc_blocks.blocks(), *doc_blocks.inline_commands()]
PAGES = sorted({block.page for block in BLOCKS})


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_right(page: str) -> None:
    wrong = []
    for block in [block for block in BLOCKS if block.page == page]:
        try:
            assert outcome(block) in ("run", "checked", "exempted", "not code")
        except Exception as error:
            wrong.append(f"{page}:{block.line}: {error!r}")
    assert not wrong, "\n".join(wrong)


def test_few_blocks_are_exempted() -> None:
    code = [block for block in BLOCKS if block.language in ("sh", "python", "yaml", "json")]
    exempted = [(block.page, block.line) for block in code if outcome(block) == "exempted"]
    assert len(exempted) <= len(code) / 4, exempted


@pytest.mark.parametrize(("page", "test"), doc_blocks.RUN.items())
def test_pages_that_are_run_have_their_test(page: str, test: str) -> None:
    assert page in (ROOT / test).read_text()


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "prunegrid prune --scores s --pair qtuning --out o --no-such-option"),
        ("sh", "prunegrid no-such-command"),
        ("sh", "snakemake --cores all --no-such-option"),
        ("sh", "make no-such-target"),
        ("sh", "pytest tests/no_such_test.py"),
        ("sh", "no-such-program"),
        ("sh", "snakemake --cores 1 no_such_rule"),
        ("sh", "snakemake --cores 1 --config no_such_key=1"),
        ("sh", "python benchmarks/duplicates.py --no-such-option"),
        ("sh", "python -m support.no_such_module"),
        ("sh", "docker run --rm prunegrid:cpu keep data.json --model MODEL --out kept"),
        ("sh", "docker run --entrypoint snakemake prunegrid:cuda --no-such-option"),
        ("sh", "apptainer run [--nv] prunegrid.sif no-such-command"),
        ("sh", "apptainer exec prunegrid.sif prunegrid no-such-command"),
        ("sh", "srun --gpus=1 --pty prunegrid no-such-command"),
        ("sh", 'sbatch --gres=gpu:1 --wrap "prunegrid no-such-command"'),
        ("sh", "$ prunegrid no-such-command\nwhat it printed"),
        ("inline", "make no-such-target"),
        ("inline", "prunegrid prune --no-such-option"),
        ("python", "from prunegrid.pruners import no_such_name"),
        ("python", "import prunegrid as pg\npg.no_such_name()"),
        ("yaml", "training: {no_such_key: 1}"),
        ("json", "{]"),
    ],
)
def test_wrong_blocks_are_found(language: str, text: str) -> None:
    with pytest.raises((ValueError, AttributeError)):
        outcome(Block("docs/index.md", 1, language, text))


def test_commands_are_read_without_comments_and_variables() -> None:
    text = "A=1 prunegrid show x > out.txt  # text\nmake a && \\\n  make b | head\n"
    assert list(doc_shell.commands(text)) == [["prunegrid", "show", "x"], ["make", "a"], ["make", "b"], ["head"]]


def test_prompts_are_read_without_what_is_printed() -> None:
    assert list(doc_shell.commands("$ make a \\\n  b\nit's done\n$ make c\n")) == [["make", "a", "b"], ["make", "c"]]


def test_indented_blocks_are_found_outside_fences_and_lists() -> None:
    page = """A paragraph
    that goes on.

    make a

    make b

```text

    make c
```
1. An item

    make d

End.

    printed text
"""
    found = list(doc_blocks.indented(page))
    assert found == [(4, "make a\n\nmake b\n"), (18, "printed text\n")]
    assert [doc_shell.is_shell(text) for _, text in found] == [True, False]
    assert doc_blocks.SECTION.match("runtime: {nodes: 2}\n") and not doc_blocks.SECTION.match("world: done\n")
    assert doc_shell.is_shell("$ make a") and doc_shell.is_shell("A=1 .venv/bin/pip install x")


def test_blocks_in_a_table_are_found() -> None:
    sh = [block for block in BLOCKS if block.page == "README.md" and block.language == "sh"]
    assert len(sh) == (ROOT / "README.md").read_text().count("```sh\n") > 0


@pytest.mark.parametrize("file", ["Dockerfile", "containers/prunegrid.def", ".github/workflows/ci.yml"])
def test_container_commands_beside_the_pages_are_right(file: str) -> None:
    found = doc_shell.container_commands((ROOT / file).read_text())
    assert found
    assert [command for command in found if doc_shell.outcome(command) != "checked"] == []


def test_examples_of_the_help_are_right() -> None:
    parsers = cli_page.commands()
    examples = {name: (parser.epilog or "").removeprefix("example: ") for name, parser in parsers.items()}
    assert [name for name, example in examples.items() if not example.startswith(f"prunegrid {name} ")] == []
    assert {outcome(Block("", 1, "sh", example)) for example in examples.values()} == {"checked"}
