"""Every block of shell, Python, YAML and JSON on the pages is checked, or exempted with a reason."""

import pytest

import cli_page
from support import doc_blocks
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
    assert list(doc_blocks.commands(text)) == [["prunegrid", "show", "x"], ["make", "a"], ["make", "b"], ["head"]]


def test_examples_of_the_help_are_right() -> None:
    parsers = cli_page.commands()
    examples = {name: (parser.epilog or "").removeprefix("example: ") for name, parser in parsers.items()}
    assert [name for name, example in examples.items() if not example.startswith(f"prunegrid {name} ")] == []
    assert {outcome(Block("", 1, "sh", example)) for example in examples.values()} == {"checked"}
