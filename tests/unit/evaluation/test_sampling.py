"""Sampled answers: each follows its own random numbers, and several answers to an item become one row."""

import json
import math
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402
from scipy.stats import chisquare  # noqa: E402

from prunegrid.evaluation.evaluate import evaluate  # noqa: E402
from prunegrid.evaluation.generation import generate  # noqa: E402
from prunegrid.evaluation.item_logs import read_item_log  # noqa: E402
from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from prunegrid.evaluation.sampling import Draw, Sampling  # noqa: E402
from prunegrid.experiment import layout  # noqa: E402
from prunegrid.experiment.decoding import Generation  # noqa: E402
from prunegrid.experiment.evaluation import Benchmark  # noqa: E402
from prunegrid.experiment.grid import Cell  # noqa: E402
from prunegrid.statistics.paired_items import pair_items  # noqa: E402
from prunegrid.tasks.catalog import find_task  # noqa: E402
from support.errors import refused  # noqa: E402
from support.tiny_models import QUESTIONS, tiny, tokenizer  # noqa: E402
from support.toy_tasks import ITEMS, toy_benchmark, write_jsonl  # noqa: E402

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5])
SETTING = {"until": ["&", "9"], "do_sample": True, "max_gen_toks": 24, "temperature": 0.8, "top_p": 0.95}


def draws(sampling: Sampling, n: int = 20000) -> np.ndarray:
    """int[5]: how often each token of `LOGITS` is the first of n samples."""
    seeds = [(0, item, 3) for item in range(n)]
    draw = Draw(sampling, seeds, [0] * n, 1, 1)
    chosen = draw(torch.zeros((n, 1), dtype=torch.long), LOGITS.expand(n, -1)).argmax(-1)
    return np.bincount(chosen.numpy(), minlength=len(LOGITS))


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1.0), [0, 1, 2, 3, 4]),
        (Sampling(0.5), [0, 1, 2, 3, 4]),
        (Sampling(2.0, top_k=3), [0, 1, 4]),
        (Sampling(1.0, top_p=0.7), [0, 1]),
    ],
)
def test_frequencies_are_those_of_the_softmax(sampling: Sampling, kept: list[int]) -> None:
    """By chi-square; of this many draws a temperature that is 5 % off gives p below 1e-4."""
    counts = draws(sampling)
    shares = (LOGITS[kept].double() / sampling.temperature).softmax(-1).numpy()
    assert counts.sum() == counts[kept].sum()
    assert chisquare(counts[kept], shares * counts.sum()).pvalue > 0.01
    wrong = (LOGITS[kept].double() / (1.05 * sampling.temperature)).softmax(-1).numpy()
    assert len(kept) < 5 or chisquare(counts[kept], wrong * counts.sum()).pvalue < 1e-4


def requests(samples: int = 2) -> list[Instance]:
    prompts = [prompt + option for prompt, texts in QUESTIONS for option in texts]
    return [
        Instance("generate_until", {}, (prompt, {**SETTING, "seed": (0, item, sample)}), sample)
        for item, prompt in enumerate(prompts)
        for sample in range(samples)
    ]


@pytest.mark.sweep
def test_an_answer_does_not_depend_on_its_batch() -> None:
    """Alone, in batches that are given up and formed anew, and in another order: the same texts."""
    model, words = tiny("llama"), tokenizer(False)
    asked = requests()
    answers = LanguageModel(model, words, 1).generate_until(asked)
    assert LanguageModel(model, words, 700).generate_until(asked) == answers
    assert LanguageModel(model, words, 8192).generate_until(asked[::-1]) == answers[::-1]
    assert len(set(answers)) > 0.8 * len(answers)
    assert len(set(map(len, answers))) > 3


@pytest.mark.sweep
def test_both_caches_draw_the_same_answers() -> None:
    model, words = tiny("llama"), tokenizer(False)
    prompts = [words.encode(request.args[0])[-40:] for request in requests(1)]
    settings = {"max_new_tokens": 20, "stops": ["&", "9"], "batch_tokens": 130, "sampling": Sampling(1.0)}
    seeds = [(1, item, 0) for item in range(len(prompts))]

    def answers(implementation: str) -> list[list[int]]:
        return generate(model, words, prompts, implementation=implementation, seeds=seeds, **settings).tokens

    assert answers("static") == answers("dynamic")


def sampled(task: str, repeats: int, **kwargs: Any) -> Benchmark:
    benchmark = toy_benchmark(task).model_copy(update={"repeats": repeats})
    return benchmark.model_copy(update={"gen_kwargs": Generation(**{"temperature": 1.0, **kwargs})})


@pytest.fixture(scope="module")
def drawn(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Path]]:
    """Whether "a" is the last vowel in each of 6 answers to each of 5 items."""
    out = tmp_path_factory.mktemp("drawn")
    items = [{"question": f"Cats {n}", "gold": "a"} for n in range(5)]
    keys = {"prompt": "{{question}}", "answer": "{{gold}}", "stop": ["&"]}
    keys |= {"metric": "exact_match", "extract": "([aeiou])", "max_tokens": 120}
    benchmark = Benchmark(
        kind="generate", data={"path": "unused.jsonl"}, repeats=6, gen_kwargs={"temperature": 1.0}, **keys
    )
    data = {"B": write_jsonl(out / "items.jsonl", items)}
    run = evaluate(toy_model, out, benchmarks={"B": benchmark}, data=data, digests={"model": "m"})["B"]
    again = evaluate(toy_model, out, benchmarks={"B": benchmark}, data=data, digests={"model": "m"})["B"]
    assert again == run, "read from the cache"
    return out, run, data


def test_answers_to_an_item_are_one_row(drawn: tuple[Path, dict[str, Any], dict[str, Path]]) -> None:
    out, record, _ = drawn
    rows = pq.read_table(out / "B.parquet").to_pylist()
    assert [row["doc_id"] for row in rows] == list(range(5))
    for row in rows:
        answers = json.loads(row["response"])
        rights = [float(re.findall("[aeiou]", answer)[-1:] == ["a"]) for answer in answers]
        assert row["n_samples"] == len(answers) == 6 and len(set(answers)) > 3
        assert row["value"] == pytest.approx(statistics.fmean(rights))
        assert row["value_variance"] == pytest.approx(statistics.variance(rights))
    values = [row["value"] for row in rows]
    assert record["score"] == pytest.approx(100 * statistics.fmean(values))
    assert 0 < record["score"] < 100
    assert record["n_items"] == 5 and record["repeats"] == 6
    assert record["stderr"] == pytest.approx(100 * statistics.stdev(values) / math.sqrt(5))
    noise = sum(row["value_variance"] / 6 for row in rows)
    assert noise > 0 and record["sampling_se"] == pytest.approx(100 * math.sqrt(noise) / 5)


def test_item_logs_know_how_many_answers_a_value_is_of(drawn: tuple[Path, dict[str, Any], dict[str, Path]]) -> None:
    log = read_item_log(drawn[0] / "B.parquet")
    assert log.n_answers == 6 and not log.has_own_scale
    assert 100 * log.values.mean() == pytest.approx(drawn[1]["score"])


def test_a_seed_of_ones_own_draws_other_answers_and_is_recorded(toy_model: Path, tmp_path: Path) -> None:
    """The default seed is 0; batches and shared prefixes draw the same; another seed evaluates again."""
    benchmark = sampled("triviaqa", 1, max_gen_toks=9)
    data = {"B": write_jsonl(tmp_path / "items.jsonl", ITEMS["triviaqa"])}

    def run(seed: int | None, **settings: Any) -> tuple[dict[str, Any], list[str]]:
        kwargs = Generation(**benchmark.gen_kwargs.model_dump() | ({} if seed is None else {"seed": seed}))
        asked = {"B": benchmark.model_copy(update={"gen_kwargs": kwargs})}
        digests = {"model": "m"}
        record = evaluate(toy_model, tmp_path, benchmarks=asked, data=data, digests=digests, **settings)["B"]
        return record, pq.read_table(tmp_path / "B.parquet")["response"].to_pylist()

    unseeded, answers = run(None)
    assert unseeded["gen_kwargs"] == {"max_gen_toks": 9, "temperature": 1.0}
    seeded, others = run(7)
    assert seeded["gen_kwargs"]["seed"] == 7 and seeded["task_hash"] != unseeded["task_hash"]
    assert others != answers and len(set(others)) == len(others)
    assert run(0)[1] == answers
    assert run(7, batch_tokens=8)[1] == others
    assert run(7, share_prefixes=True)[1] == others


@pytest.mark.parametrize("repeats", [1, 2])
def test_items_are_sampled_with_their_filters(repeats: int, toy_model: Path, tmp_path: Path) -> None:
    """GSM8K has two filters; the file of single answers has no further columns."""
    data = {"B": write_jsonl(tmp_path / "items.jsonl", ITEMS["gsm8k"])}
    benchmarks = {"B": sampled("gsm8k", repeats, max_gen_toks=9)}
    record = evaluate(toy_model, tmp_path, benchmarks=benchmarks, data=data)["B"]
    table = pq.read_table(tmp_path / "B.parquet")
    assert table.num_rows == 2 * len(ITEMS["gsm8k"])
    assert ("n_samples" in table.column_names, "sampling_se" in record) == (repeats > 1, repeats > 1)
    for key in ("question", "gold", "prompt_hash", "value"):
        assert None not in table[key].to_pylist()


def test_a_task_that_samples_by_its_own_file_is_recorded_as_sampled(toy_model: Path, tmp_path: Path) -> None:
    """No key of the benchmark says so; the luck of a single draw is unknown, not 0. Greedy records have no such key."""
    quiz = "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer.value}}'\n"
    (tmp_path / "drawn.yaml").write_text(f"task: drawn\n{quiz}generation_kwargs: {{do_sample: true, max_gen_toks: 9}}")
    (tmp_path / "greedy.yaml").write_text(f"task: greedy\n{quiz}generation_kwargs: {{max_gen_toks: 9}}")
    data = {name: write_jsonl(tmp_path / "items.jsonl", ITEMS["triviaqa"]) for name in ("drawn", "greedy")}
    cell = Cell("m", "full", None, 0)
    out = (tmp_path / layout.score(cell.name, "drawn")).parent
    settings: dict[str, Any] = {"benchmarks": {name: toy_benchmark(name) for name in data}, "data": data}
    settings |= {"tasks": [str(tmp_path)], "digests": {"model": "m"}}
    records = evaluate(toy_model, out, **settings)
    assert records["drawn"]["sampled"] is True and "sampled" not in records["greedy"]
    assert evaluate(toy_model, out, **settings) == records, "read from the cache"
    assert pair_items(tmp_path, [cell], "drawn").deviations == [None]
    (known,) = pair_items(tmp_path, [cell], "greedy").deviations
    assert known is not None and known.tolist() == [[0, 0, 0]]


def test_temperature_0_is_the_greedy_task() -> None:
    plain = find_task("harness", "gsm8k")
    assert plain.change_generation({"temperature": 0, "top_p": 0.5}) == plain


@pytest.mark.parametrize(
    ("kwargs", "words", "fix"),
    [
        ({"num_beams": 3}, "num_beams is not followed", "until, max_gen_toks"),
        ({"temperature": 0.001, "do_sample": True}, "nearly greedy", "at least 0.01"),
    ],
)
def test_generation_that_no_engine_follows_is_refused(kwargs: dict[str, Any], words: str, fix: str) -> None:
    plain = find_task("harness", "gsm8k")
    task = replace(plain, config=plain.config | {"generation_kwargs": plain.config["generation_kwargs"] | kwargs})
    with refused("generation_kwargs of gsm8k", words, fix=fix):
        task.check_generation()


def test_a_task_with_repeats_of_its_own_is_refused_if_it_samples() -> None:
    plain = find_task("harness", "gsm8k")
    task = replace(plain, config=plain.config | {"repeats": 4})
    task.check_generation()
    with refused("generation_kwargs of gsm8k", "own repeats (4)", fix="remove it"):
        task.change_generation({"temperature": 1.0}).check_generation()
