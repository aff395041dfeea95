"""Copy of a results folder what may be published: no text of a data set or model, no weights, no path of this machine.

    python tests/support/programs/publish_folder.py results/mine docs/results/mine

The run needs `evaluation.items: scores`, so that item files hold no text and have their records' digests. Left out are
models, token ids (which are text), the training set, benchmarks and logs; `experiment.json` loses `data_mirror`.
`left-out.json` names the files with texts, which `prunegrid verify` then does not miss. The table is made again from
the copy, and the page without texts.
"""

import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq

from prunegrid.core import files
from prunegrid.evaluation.records import TEXTS
from prunegrid.experiment import layout
from prunegrid.report import build as page
from prunegrid.table import build as tables

KEPT = (
    layout.EXPERIMENT,
    layout.STATEMENT,
    "data/*.json",
    "models/*.json",
    "scores/*/meta.json",
    "scores/*/samples.parquet",
    "pruned/**/selection.*",
    "trained/**/training.json",
    "evaluation/**/*.json",
    "evaluation/**/*.parquet",
    "benchmarks/**/*.jsonl",
)
TEXT_FILES = ("data/*.parquet", "data/benchmarks/*.jsonl", "scores/*/tokens.parquet")


def publish(source: Path, target: Path) -> None:
    """Copy what may be published, and make the table and the page of the copy."""
    for path in sorted(path for pattern in KEPT for path in source.glob(pattern)):
        if layout.EVALUATION_CACHE in path.parts or not path.is_file():
            continue
        if path.suffix == ".parquet" and path.relative_to(source).parts[0] == "evaluation":
            check_items(path)
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    experiment = files.read_json(target / layout.EXPERIMENT)
    files.write_json(target / layout.EXPERIMENT, experiment | {"data_mirror": None})
    left_out = sorted(str(path.relative_to(source)) for pattern in TEXT_FILES for path in source.glob(pattern))
    files.write_json(target / layout.LEFT_OUT, {"why": "they hold texts of data sets", "files": left_out})
    tables.build(target)
    page.build(target, texts=False)


def check_items(path: Path) -> None:
    """Stop if an item file holds texts."""
    table = pq.read_table(path)
    if set(TEXTS) & set(table.column_names) or any(table["response"].to_pylist()):
        sys.exit(f"{path} holds texts: evaluate with evaluation.items: scores")


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]))
