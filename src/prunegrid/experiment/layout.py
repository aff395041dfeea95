"""The paths of a results folder `results/<experiment>/`: no other module knows them.

All are strings relative to that folder, since `status` asks for tens of thousands. A cell is given by its name,
`<model>/<budget>/<variant>/seed<n>` (`Cell.name`). Snakemake's patterns are the same paths of `MODEL`, `CELL`
and the two kinds of jobs that have more in their names.
"""

from prunegrid.core.parts import part_name
from prunegrid.pruners.columns import VECTOR_EXTRAS
from prunegrid.sandbox.data_sets import PRETRAINING

MODEL, CELL = "{model}", "{model}/{cell}"
IMPORT, IMPORT_JOB = "{imported}", "{model}/{cell}/{imported}"
SHARD_JOB, EXTRA_JOB, COLUMN_JOB = "{model}/{scatteritem}", "{model}/{extra}", "{model}/{column}"
PART_JOB = "{model}/{cell}/{part}"

EXPERIMENT = "experiment.json"
RESULTS = "results.parquet"
DELTAS = "deltas.parquet"
CONTRASTS, STATEMENT = "contrasts.parquet", "contrasts.json"
SEEDS = "seeds.json"
RESULTS_RECORD = "results.json"
LEFT_OUT = "left-out.json"  # what a published folder lacks on purpose: the files with texts
CONTAMINATION = "data/contamination.json"
REPORT = "report.html"
WORLD = "world"
WORLD_TEXT = f"{WORLD}/{PRETRAINING}.jsonl"
TABLE, FIGURES, AUDIT = "table", "figures", "audit"

# Names within a folder, for steps that are given the folder itself: scores, selections and models of one's own.
SAMPLES, TOKENS, META, EXTRA = "samples.parquet", "tokens.parquet", "meta.json", "extra"
VECTORS = ".arrow"  # ending of a column of vectors in `EXTRA`; others are Parquet
DATA, DATA_COUNTS, TOKENIZER = "data.parquet", "data.json", "tokenizer"  # scores of one's own have these, too
PASS = ".unfinished"  # in scores of one's own: what a pass that is not complete has done
SELECTION, SUMMARY, SELECTION_LOG = "selection.parquet", "selection.json", "selection_log.parquet"
CHOICE, PARTS = "choice.parquet", "selection"  # of a selection in shards: what is cut, and the folder of its parts
TRAINING, WEIGHTS, CHECKPOINTS = "training.json", "model", "checkpoints"
EVALUATION_CACHE = "cache"

# Static and dynamic cells share the logs of training, optional scores of all kinds theirs; those of benchmark items
# have a shorter name than their rule.
LOG_FOLDERS = {
    "train_dynamic": "train",
    "vector_score": "extra_score",
    "query_score": "extra_score",
    "benchmark_items": "benchmark",
}


def dataset(name: str) -> str:
    return f"data/{name}.parquet"


def dataset_counts(name: str) -> str:
    """What was read, and how many records were left out, by reason."""
    return f"data/{name}.json"


def benchmark_items(benchmark: str) -> str:
    return f"data/benchmarks/{benchmark}.jsonl"


def base_model(model: str) -> str:
    return f"models/{model}"


def manifest(model: str) -> str:
    """Source and digests of a base model."""
    return f"models/{model}.json"


def scores(model: str) -> str:
    """The folder of a model's scores, which holds `SAMPLES`, `TOKENS`, `META` and `EXTRA`."""
    return f"scores/{model}"


def scores_meta(model: str) -> str:
    return f"{scores(model)}/{META}"


def extra_score(model: str, column: str) -> str:
    return f"{scores(model)}/{EXTRA}/{extra_name(column)}"


def extra_name(column: str) -> str:
    """The file of the optional score `column` in the folder `EXTRA`: vectors are mapped into memory, as Arrow is."""
    return f"{column}{VECTORS if column in VECTOR_EXTRAS else '.parquet'}"


def shard(model: str, part: str) -> str:
    """The folder of the scores of one part of the data set, `1-of-4`."""
    return f"{scores(model)}/shards/{part}"


def pruned(cell: str) -> str:
    """The folder of a static cell's selection: `SELECTION` (or `PARTS`) and `SUMMARY`."""
    return f"pruned/{cell}"


def selection(cell: str, shards: int) -> list[str]:
    """The file of a static cell's selection, or its parts."""
    if shards == 1:
        return [f"{pruned(cell)}/{SELECTION}"]
    return [part(cell, part_name(number, shards)) for number in range(1, shards + 1)]


def part(cell: str, name: str) -> str:
    """A part of a static cell's selection, `00001-of-00003`."""
    return f"{pruned(cell)}/{PARTS}/{name}.parquet"


def choice(cell: str) -> str:
    """What the shards of a static cell's selection are cut by."""
    return f"{pruned(cell)}/{CHOICE}"


def trained(cell: str) -> str:
    """The folder of a trained cell: `TRAINING`, `WEIGHTS`; of a dynamic one its `SELECTION_LOG` and `SUMMARY`, too."""
    return f"trained/{cell}"


def training(cell: str) -> str:
    """What a training reports."""
    return f"{trained(cell)}/{TRAINING}"


def weights(cell: str) -> str:
    """The folder of a trained model or adapter."""
    return f"{trained(cell)}/{WEIGHTS}"


def evaluation(cell: str) -> str:
    """The folder of a cell's evaluations; its folder `EVALUATION_CACHE` holds finished benchmarks."""
    return f"evaluation/{cell}"


def score(cell: str, benchmark: str) -> str:
    """The score of a cell on a benchmark, with how it was evaluated."""
    return f"{evaluation(cell)}/{benchmark}.json"


def answers(cell: str, benchmark: str) -> str:
    """The answers behind a `score`, item by item."""
    return f"{evaluation(cell)}/{benchmark}.parquet"


def table(kind: str) -> str:
    """The table as `md`, `csv`, `tex` or `html`."""
    return f"{TABLE}/table.{kind}"


def comparison(variant: str) -> str:
    """The folder of a table whose deltas are against that variant."""
    return f"{TABLE}/against-{variant}"


def figure(model: str, name: str, kind: str) -> str:
    return f"{FIGURES}/{model}/{name}.{kind}"


def audit(kind: str) -> str:
    """The audit as `parquet`, `md` or `png`."""
    return f"{AUDIT}/audit.{kind}"


def log(rule: str, job: str = "") -> str:
    """The log of a rule's job; `job` is what it is of: a cell, a model, a benchmark."""
    return f"logs/{_job(rule, job)}.log"


def benchmark(rule: str, job: str = "") -> str:
    """Snakemake's benchmark file of a rule's job: seconds and memory."""
    return f"benchmarks/{_job(rule, job)}.jsonl"


def _job(rule: str, job: str) -> str:
    folder = LOG_FOLDERS.get(rule, rule)
    return f"{folder}/{job}" if job else folder
