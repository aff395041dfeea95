"""How many samples, tokens and items there are: counted where the files are, else stated, known or refused."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_parquet, read_records
from prunegrid.data.datasets import locate, samples_of
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.sections import Benchmark, DataRef
from prunegrid.sandbox.data_sets import BENCHMARK_ITEMS
from prunegrid.tasks.catalog import known_tasks, read_task

CHARACTERS_PER_TOKEN = 4  # a token, in English
RESPONSE_SHARE = 0.75  # of a sample's tokens, where only their sum is stated
SANDBOX = (2000, 55_992, 18_445)  # samples, prompt and response tokens of the generated training set
ASSUMED_ITEMS = 1000
LONGEST_FACTOR = 2.0  # the longest samples' mean length over all samples', where it cannot be counted
ITEM_TOKENS = {"prompt": 190, "options": 40, "answer": 130}  # the largest of our tasks, for one that states none


@dataclass(frozen=True)
class TokenCounts:
    """A training set's size: samples, and tokens of their prompts and responses; `lengths` of each, where counted."""

    samples: int
    prompt: int
    response: int
    source: str
    counted: bool = True
    lengths: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.prompt + self.response

    def longest(self, ratio: float) -> tuple[float, float]:
        """Prompt and response tokens of the longest responses, a fraction `ratio` of the samples."""
        if not self.lengths:
            return self.prompt * ratio, self.response * min(1.0, ratio * LONGEST_FACTOR)
        chosen = sorted(self.lengths.values(), key=lambda pair: -pair[1])[: max(1, int(ratio * self.samples))]
        return _sums(chosen)

    def selected(self, ids: Iterable[int]) -> tuple[float, float]:
        """Prompt and response tokens of these samples."""
        return _sums([self.lengths[number] for number in ids])


def _sums(lengths: list[tuple[int, int]]) -> tuple[float, float]:
    return float(sum(prompt for prompt, _ in lengths)), float(sum(response for _, response in lengths))


class BenchmarkSize(NamedTuple):
    """A benchmark's items, and of one: tokens of the prompt, of all options, of an answer, and of the longest."""

    items: int
    prompt: int
    options: int
    answer: int
    longest: int
    known: bool


def count_tokens(
    experiment: Experiment, model: str, root: Path, samples: int | None = None, tokens_per_sample: int | None = None
) -> TokenCounts:
    """The training set under the model's tokenizer; `samples` x `tokens_per_sample` tokens where nothing tells them.

    Raises `PrunegridError` where nothing does, and neither is stated.
    """
    scored = root / layout.scores(model) / layout.SAMPLES
    if scored.exists():
        table = read_parquet(scored, ["sample_id", "prompt_tokens", "response_tokens"])
        ids, prompts, responses = (column.to_pylist() for column in table.columns)
        lengths = dict(zip(ids, zip(prompts, responses, strict=True), strict=True))
        return TokenCounts(len(lengths), sum(prompts), sum(responses), f"counted in {scored}", True, lengths)
    if samples and tokens_per_sample:
        return _limited(
            experiment, samples, (1 - RESPONSE_SHARE) * tokens_per_sample, RESPONSE_SHARE * tokens_per_sample, "stated"
        )
    dataset = experiment.dataset
    if experiment.sandbox and dataset.hub:
        number, prompt, response = SANDBOX
        return _limited(experiment, number, prompt / number, response / number, "the sandbox's known counts")
    local = locate(dataset, experiment.data_mirror)
    if local is not None and Path(local).exists():
        return _estimated(experiment, local)
    raise PrunegridError(
        f"{dataset.name}: {dataset.hub or dataset.path} is not on this disk, so its size is not known; give "
        "--samples N --tokens-per-sample T (prompt and response together)"
    )


def _estimated(experiment: Experiment, local: str) -> TokenCounts:
    """By the characters of the file's texts."""
    rows = read_records(Path(local))
    found, _ = samples_of(rows, experiment.dataset, local)
    if not found:
        raise PrunegridError(f"{local}: no sample is left of its {len(rows)} rows")
    texts = [[len(message["content"]) for message in sample["messages"]] for sample in found]
    prompt, response = sum(sum(sample[:-1]) for sample in texts), sum(sample[-1] for sample in texts)
    each = CHARACTERS_PER_TOKEN * len(found)
    how = f"{local}, at {CHARACTERS_PER_TOKEN} characters a token"
    return _limited(experiment, len(found), prompt / each, response / each, how)


def _limited(experiment: Experiment, samples: int, prompt: float, response: float, how: str) -> TokenCounts:
    """With `max_samples`, and the mean sample no longer than the cut-off."""
    number = min(samples, experiment.dataset.max_samples or samples)
    share = min(1.0, experiment.scoring.max_length / (prompt + response))
    return TokenCounts(number, round(number * prompt * share), round(number * response * share), how, False)


def benchmark_size(experiment: Experiment, name: str, root: Path) -> BenchmarkSize:
    """What one benchmark asks: items counted where its file is, else of the known data set, else assumed to be 1,000.

    Tokens of an item are those that the task's metadata states, else `ITEM_TOKENS`.
    """
    benchmark = experiment.evaluation.benchmarks[name]
    items, known = _items(experiment, name, benchmark, root)
    task = read_task(experiment.evaluation.protocol, benchmark.task)
    tokens = task["metadata"].get("tokens", ITEM_TOKENS)
    prompt, options, answer = (tokens.get(part, 0) for part in ITEM_TOKENS)
    longest = task.get("generation_kwargs", {}).get("max_gen_toks", 0)
    return BenchmarkSize(min(items, benchmark.limit or items), prompt, options, answer, longest, known)


def _items(experiment: Experiment, name: str, benchmark: Benchmark, root: Path) -> tuple[int, bool]:
    ref = benchmark.data
    if experiment.sandbox and ref.hub:
        return BENCHMARK_ITEMS[ref.below(Path()).with_suffix("").as_posix()], True
    made, local = root / layout.benchmark_items(name), locate(ref, experiment.data_mirror)
    for file in (made, *([Path(local)] if local else [])):
        if file.exists():
            return _rows(file), True
    known = _complete(ref, experiment.evaluation.protocol)
    return (known, True) if known else (benchmark.limit or ASSUMED_ITEMS, benchmark.limit is not None)


def _rows(file: Path) -> int:
    if file.suffix == ".parquet":
        return int(pq.read_metadata(file).num_rows)
    with file.open("rb") as lines:
        return sum(bool(line.strip()) for line in lines)


def _complete(ref: DataRef, protocol: str) -> int | None:
    """Items of a complete data set that some task knows, of its own protocol first."""
    entries = sorted(_entries(), key=lambda pair: pair[0] != protocol)
    for _, entry in entries:
        if all(getattr(ref, key) == entry.get(key) for key in ("hub", "config", "split")):
            return int(entry["items"])
    return None


@cache
def _entries() -> tuple[tuple[str, dict[str, Any]], ...]:
    """(protocol, data set with its counts) of all tasks."""
    tasks = [(protocol, name) for protocol in ("harness", "paper") for name in known_tasks(protocol)]
    return tuple(
        (protocol, entry)
        for protocol, name in tasks
        for entry in read_task(protocol, name)["metadata"].get("complete", [])
    )


def selected_tokens(tokens: TokenCounts, method: str, sample_ratio: float, selection: Path) -> tuple[float, float]:
    """Prompt and response tokens of the samples that a cell keeps, all of theirs; counted once it is pruned."""
    if tokens.lengths and selection.exists():
        return tokens.selected(read_parquet(selection, ["sample_id"])["sample_id"].to_pylist())
    if method.startswith("longest+"):
        return tokens.longest(sample_ratio)
    return tokens.prompt * sample_ratio, tokens.response * sample_ratio
