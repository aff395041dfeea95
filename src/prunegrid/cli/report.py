"""Write an HTML page to explore a results folder or a selection; it opens from disk."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import named_value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write the page there (default: in the folder)")
    parser.add_argument("--scores", type=Path, help="a selection's scores, if they have moved")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="names of the same model in both results; repeatable",
    )
    parser.add_argument("--without-texts", action="store_true", help="leave out prompts, answers and samples")
    parser.add_argument(
        "directory", type=Path, help="results/<experiment>, or a folder that `prunegrid prune` or `keep` wrote"
    )
    parser.add_argument("other", type=Path, nargs="?", help="a second results/<experiment> to compare with")


def run(options: argparse.Namespace) -> None:
    from prunegrid.core.errors import PrunegridError
    from prunegrid.report import build, selection_page

    if folder := selection_page.find_selection(options.directory):
        if options.other or options.model:
            fix = "give two results folders, or `prunegrid overlap` for selections"
            raise PrunegridError(folder, "is a selection, which this command cannot compare", fix)
        print(selection_page.build(folder, options.out, options.scores, not options.without_texts))
    elif options.scores:
        raise PrunegridError(
            "--scores", f"names a selection's scores, but {options.directory} is not a selection", "leave it out"
        )
    else:
        models = dict(named_value(text, "--model", "LLaMA=LLaMA2-7B") for text in options.model)
        texts = not options.without_texts
        print(build.build(options.directory, options.out, other=options.other, models=models, texts=texts))
