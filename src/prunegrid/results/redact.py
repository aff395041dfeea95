"""A copy of a results folder that may be published: no text of a data set, no weights, no path of a machine."""

import shutil
from pathlib import Path

import pyarrow.compute as pc

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.records import TEXTS
from prunegrid.experiment import layout

COPIED = (
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
# Token ids are text, too.
TEXT_FILES = ("data/*.parquet", "data/benchmarks/*.jsonl", "scores/*/tokens.parquet")


def redact(source: Path, target: Path) -> list[str]:
    """Copy to `target` what may be published of the results folder `source`; return the files with texts left out.

    Models, the training set, token ids, benchmarks and logs are left out, and `experiment.json` loses `data_mirror`.
    `left-out.json` names the files with texts, so that `prunegrid verify` does not miss them. Table and page are not
    copied, since they may hold texts: make them from the copy. Raises `PrunegridError` if `source` is not a results
    folder, if an item file holds texts (the run needs `evaluation.items: scores`), or if `target` holds files.
    """
    if not (source / layout.EXPERIMENT).is_file():
        raise PrunegridError(source, f"has no {layout.EXPERIMENT}", "name a folder results/<experiment>")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PrunegridError(target, "exists and is not an empty folder", "choose a new one")
    copied = [path for pattern in COPIED for path in sorted(source.glob(pattern)) if path.is_file()]
    copied = [path for path in copied if layout.EVALUATION_CACHE not in path.parts]
    for path in copied:
        if path.suffix == ".parquet" and path.relative_to(source).parts[0] == "evaluation":
            _check_no_texts(path)
    left_out = sorted(str(path.relative_to(source)) for pattern in TEXT_FILES for path in source.glob(pattern))
    with files.replacing(target) as folder:
        for path in copied:
            copy = folder / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        experiment = files.read_json(folder / layout.EXPERIMENT)
        files.write_json(folder / layout.EXPERIMENT, experiment | {"data_mirror": None})
        files.write_json(folder / layout.LEFT_OUT, {"why": "they hold texts of data sets", "files": left_out})
    return left_out


def _check_no_texts(path: Path) -> None:
    table = files.read_parquet(path)
    held = [name for name in TEXTS if name in table.column_names]
    if pc.any(pc.not_equal(table["response"], "")).as_py():
        held.append("response")
    if held:
        fix = "evaluate again with `evaluation.items: scores`"
        raise PrunegridError(path, f"holds texts in the columns {', '.join(held)}", fix)
