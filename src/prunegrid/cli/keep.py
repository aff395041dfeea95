"""Score, prune and export a training set in one command."""

import argparse
import json
from pathlib import Path

from prunegrid.cli.export import add_export_arguments, form
from prunegrid.cli.prune import add_pruning_arguments, pruning
from prunegrid.cli.score import add_scoring_arguments, score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="file, folder or glob (JSON, CSV, Parquet, ...), or a data set on the hub")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores/, pruned/ and the export")
    parser.add_argument(
        "--json", action="store_true", help="print the scores' meta data, the selection and the export as JSON"
    )
    add_export_arguments(parser)
    add_pruning_arguments(parser)
    add_scoring_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.selection import prune
    from prunegrid.exporters.export import export, find_consumer
    from prunegrid.exporters.report import report
    from prunegrid.pruners import complete_options
    from prunegrid.scoring.reader import ScoresFolder
    from prunegrid.selection.sentences import scoring_sentences

    given, chosen = pruning(options), form(options)
    find_consumer(options.to).form(chosen["as_text"])  # what is wrong with the command is said before the long pass
    complete_options(given["pair"], given["options"])
    score(options, options.out / "scores")
    scores = ScoresFolder(options.out / "scores")
    if not options.json:
        print("\n".join(scoring_sentences(scores.meta, scores.counts)))
    kept = prune(scores, **given, out=options.out / "pruned")
    if not options.json:
        print(kept)
    exported = export(kept.folder, options.to, options.out / options.to, **chosen)
    parts = {"scores": scores.meta, "selection": kept.summary().model_dump(), "export": exported.model_dump()}
    print(json.dumps(parts, indent=1) if options.json else report(exported))
