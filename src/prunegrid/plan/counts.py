"""How many samples, tokens and items an experiment has: counted, stated or assumed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_parquet
from prunegrid.core.parts import read_parts
from prunegrid.data.conversations import SampleReader
from prunegrid.data.counts import no_samples
from prunegrid.data.datasets import locate
from prunegrid.data.messages import is_learned, text_length
from prunegrid.data.rows import stream_rows
from prunegrid.data.sources import is_here
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.sandbox.data_sets import BENCHMARK_ITEMS
from prunegrid.tasks.catalog import find_task, known_tasks
from prunegrid.tasks.stock import StockTask, read_header

CHARACTERS_PER_TOKEN = 4  # in English
RESPONSE_SHARE = 0.75  # of a sample's tokens, if only their sum is stated
# Samples, prompt and response tokens of the generated training sets.
SANDBOX = {"short": (2000, 55_992, 18_445), "long": (1200, 37_504, 59_612)}
ASSUMED_ITEMS = 1000
LONGEST_FACTOR = 2.0  # the longest samples' mean length over that of all samples, if it cannot be counted
ITEM_TOKENS = {"prompt": 190, "options": 40, "answer": 130}  # those of our largest task, for a task that states none


@dataclass(frozen=True)
class TokenCounts:
    """A training set's size: samples, tokens of all prompts and responses, and if `counted` their lengths by id.

    A conversation that is one sequence is one sample; `lengths` are of its answers, and `first` has the ids of those
    that begin a conversation. It is empty where every answer does.
    """

    samples: int
    prompt: int
    response: int
    source: str
    counted: bool = True
    lengths: dict[int, tuple[int, int]] = field(default_factory=dict)
    first: frozenset[int] = frozenset()

    @property
    def total(self) -> int:
        return self.prompt + self.response

    def longest(self, ratio: float) -> tuple[float, float]:
        """Prompt and response tokens of the longest responses, a fraction `ratio` of the samples."""
        if not self.lengths:
            return self.prompt * ratio, self.response * min(1.0, ratio * LONGEST_FACTOR)
        count = max(1, int(ratio * len(self.lengths)))
        return _sums(sorted(self.lengths.values(), key=lambda pair: -pair[1])[:count])

    def selected(self, ids: Iterable[int]) -> tuple[float, float]:
        """Tokens of context (prompts, and answers that are not kept before kept ones) and of these answers."""
        if not self.first:
            return _sums([self.lengths[number] for number in ids])
        kept, context, answers, waiting = set(ids), 0, 0, 0
        for number, (prompt, response) in self.lengths.items():  # in the order of the conversations
            waiting = prompt + (0 if number in self.first else waiting)
            if number in kept:
                context, answers, waiting = context + waiting, answers + response, 0
            else:
                waiting += response
        return float(context), float(answers)


def _sums(lengths: list[tuple[int, int]]) -> tuple[float, float]:
    return float(sum(prompt for prompt, _ in lengths)), float(sum(response for _, response in lengths))


class BenchmarkSize(NamedTuple):
    """A benchmark's items, times its `repeats`, and the tokens of one.

    These are of its prompt, of all its options, of its answer, and of the longest answer.
    """

    items: int
    prompt: int
    options: int
    answer: int
    longest: int
    assumed: bool


def count_tokens(
    experiment: Experiment, model: str, root: Path, samples: int | None = None, tokens_per_sample: int | None = None
) -> TokenCounts:
    """The training set's size under the model's tokenizer: as scored, else as stated, else estimated.

    Raises `PrunegridError` if the data set is not on this disk and neither number is given.
    """
    scored = root / layout.scores(model) / layout.SAMPLES
    if scored.exists():
        return _counted(scored)
    if samples and tokens_per_sample:
        return _limited(
            experiment, samples, (1 - RESPONSE_SHARE) * tokens_per_sample, RESPONSE_SHARE * tokens_per_sample, "stated"
        )
    dataset = experiment.dataset
    if experiment.sandbox and dataset.hub:
        number, prompt, response = SANDBOX[experiment.sandbox.answers]
        return _limited(experiment, number, prompt / number, response / number, "the sandbox's known counts")
    local = locate(dataset, experiment.data_mirror)
    if local is not None and is_here(dataset, local):
        return _estimated(experiment, local)
    problem = f"{dataset.hub or dataset.path} is not on this disk, so its size is unknown"
    fix = "give --samples N --tokens-per-sample T (prompt and response together)"
    raise PrunegridError(f"dataset.{'hub' if dataset.hub else 'path'}", problem, fix)


def _counted(scored: Path) -> TokenCounts:
    """The size by the table of the scored samples."""
    continues = ["continues"] if "continues" in parquet_schema(scored).names else []
    table = read_parquet(scored, ["sample_id", "prompt_tokens", "response_tokens", *continues])
    ids, prompts, responses, *marks = (column.to_pylist() for column in table.columns)
    lengths = dict(zip(ids, zip(prompts, responses, strict=True), strict=True))
    first = frozenset(number for number, mark in zip(ids, marks[0], strict=True) if not mark) if marks else frozenset()
    samples = len(first) or len(lengths)
    return TokenCounts(samples, sum(prompts), sum(responses), f"counted in {scored}", True, lengths, first)


def _estimated(experiment: Experiment, local: str) -> TokenCounts:
    """The size by the characters of the file's texts."""
    reader = SampleReader(experiment.dataset, local)
    samples = prompt = response = 0
    for row in stream_rows(experiment.dataset, local):
        for sample in reader.read(row):
            learned = is_learned(sample["messages"])
            lengths = [text_length(message) for message in sample["messages"]]
            samples += 1
            response += sum(compress(lengths, learned))
            prompt += sum(lengths) - sum(compress(lengths, learned))
    if not samples:
        raise no_samples(local, reader.counts)
    divisor = CHARACTERS_PER_TOKEN * samples
    source = f"{local}, at {CHARACTERS_PER_TOKEN} characters a token"
    return _limited(experiment, samples, prompt / divisor, response / divisor, source)


def _limited(experiment: Experiment, samples: int, prompt: float, response: float, source: str) -> TokenCounts:
    """At most `max_samples` samples, of at most the cut-off's length on average."""
    number = min(samples, experiment.dataset.max_samples or samples)
    share = min(1.0, experiment.scoring.max_length / (prompt + response))
    return TokenCounts(number, round(number * prompt * share), round(number * response * share), source, False)


def benchmark_size(experiment: Experiment, name: str, root: Path) -> BenchmarkSize:
    """A benchmark's size: items counted in its file, else as stated, else those of the known data set, else 1,000.

    The tokens of an item are those in the task's metadata, else `ITEM_TOKENS`.
    """
    benchmark = experiment.evaluation.benchmarks[name]
    items, assumed = _items(experiment, name, benchmark, root)
    task = experiment.evaluation.find_task(name)
    tokens = task.metadata.get("tokens", ITEM_TOKENS)
    prompt, options, answer = (tokens.get(part, 0) for part in ITEM_TOKENS)
    prompt += (prompt + answer) * len(benchmark.example_rows.rows if benchmark.example_rows else ())
    longest = task.config.get("generation_kwargs", {}).get("max_gen_toks", 0)
    asked = items if isinstance(task, StockTask) else min(items, benchmark.limit or items)
    return BenchmarkSize(asked * benchmark.repeats, prompt, options, answer, longest, assumed)


def _items(experiment: Experiment, name: str, benchmark: Benchmark, root: Path) -> tuple[int, bool]:
    """The items, and whether their number is assumed."""
    ref, prepared = benchmark.data, root / layout.benchmark_items(name)
    if isinstance(experiment.evaluation.find_task(name), StockTask):
        return _stock_items(benchmark, prepared)
    if experiment.sandbox and ref.hub:
        return BENCHMARK_ITEMS[ref.mirror_name], False
    local = locate(ref, experiment.data_mirror)
    if prepared.exists():
        with prepared.open("rb") as lines:
            return sum(bool(line.strip()) for line in lines) - bool(benchmark.examples), False
    if local and is_here(ref, local):
        return sum(1 for _ in stream_rows(ref, local)), False
    complete = benchmark.items or _complete(ref, experiment.evaluation.protocol)
    return (complete or benchmark.limit or ASSUMED_ITEMS), not (complete or benchmark.limit)


def _stock_items(benchmark: Benchmark, prepared: Path) -> tuple[int, bool]:
    """The items of lm-eval's own task; a limit is of each task of a group."""
    if not prepared.exists():
        return benchmark.items or benchmark.limit or ASSUMED_ITEMS, not benchmark.items
    sizes = read_header(prepared)["items"].values()
    return sum(min(size, benchmark.limit or size) for size in sizes), False


def _complete(ref: DataRef, protocol: str) -> int | None:
    """Items of the complete data set, if a task states them: a task of this protocol first."""
    entries = sorted(_entries(), key=lambda pair: pair[0] != protocol)
    for _, entry in entries:
        if all(getattr(ref, key) == entry.get(key) for key in ("hub", "config", "split")):
            return int(entry["items"])
    return None


@cache
def _entries() -> tuple[tuple[str, dict[str, Any]], ...]:
    """(protocol, complete data set with its counts), as the tasks' metadata states them."""
    tasks = [(protocol, name) for protocol in ("harness", "paper") for name in known_tasks(protocol)]
    return tuple(
        (protocol, entry)
        for protocol, name in tasks
        for entry in find_task(protocol, name).metadata.get("complete", [])
    )


def selected_tokens(tokens: TokenCounts, method: str, sample_ratio: float, selection: Path) -> tuple[float, float]:
    """All prompt and response tokens of the samples that a cell keeps: counted once it is pruned, else estimated."""
    if tokens.lengths and selection.exists():
        return tokens.selected(read_parts(selection, ["sample_id"])["sample_id"].to_pylist())
    if method.startswith("longest+"):
        return tokens.longest(sample_ratio)
    return tokens.prompt * sample_ratio, tokens.response * sample_ratio
