"""lm-eval's own tasks as columns: the numbers of lm-eval's command, from one local file of items; refusals."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from lm_eval.api.group import Group
from lm_eval.config.group import AggMetricConfig

from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation import stock
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.stock_items import write_stock_items
from prunegrid.experiment.evaluation import Benchmark
from support.errors import refused
from support.results_folder import an_experiment
from support.stock_tasks import CHAT_TEMPLATE, ask_lm_eval, write_mirror


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def chat_model(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(toy_model, folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder


def ask(model: Path, out: Path, mirror: Path, **settings: Any) -> dict[str, Any]:
    """The record of one benchmark, evaluated as the workflow does."""
    benchmark = Benchmark(**settings)
    write_stock_items(benchmark, out / "items.jsonl", mirror=str(mirror))
    data = {"Column": out / "items.jsonl"}
    return evaluate(model, out, benchmarks={"Column": benchmark}, data=data, digests={"model": "m"})["Column"]


CASES = [
    ({"task": "hellaswag", "num_fewshot": 3, "limit": 6}, {"num_fewshot": 3, "limit": 6}),
    ({"task": "hellaswag", "chat_template": True, "num_fewshot": 2}, {"apply_chat_template": True, "num_fewshot": 2}),
    (
        {"task": "hellaswag", "chat_template": True, "system_prompt": "Be brief."},
        {"apply_chat_template": True, "system_instruction": "Be brief."},
    ),
    (
        {"task": "lm-eval:gsm8k", "num_fewshot": 2, "gen_kwargs": {"max_gen_toks": 12}, "system_prompt": "Be brief."},
        {"num_fewshot": 2, "gen_kwargs": {"max_gen_toks": 12}, "system_instruction": "Be brief."},
    ),
    (
        {"task": "lm-eval:gsm8k", "num_fewshot": 2, "gen_kwargs": {"max_gen_toks": 12}, "chat_template": True},
        {"num_fewshot": 2, "gen_kwargs": {"max_gen_toks": 12}, "apply_chat_template": True},
    ),
    ({"task": "wmdp"}, {}),
    ({"task": "wmdp", "limit": 3, "chat_template": True}, {"limit": 3, "apply_chat_template": True}),
    ({"task": "lambada_openai", "metric": "acc"}, {}),
]


@pytest.mark.parametrize(("ours", "theirs"), CASES)
def test_stock_task_has_the_numbers_of_lm_eval(
    ours: dict[str, Any], theirs: dict[str, Any], chat_model: Path, mirror: Path, tmp_path: Path
) -> None:
    name = ours["task"].removeprefix("lm-eval:")
    record = ask(chat_model, tmp_path, mirror, **ours)
    expected = ask_lm_eval(mirror, chat_model, name, **theirs)
    for key, scores in record["metrics"].items():
        assert scores["score"] == pytest.approx(100 * expected["results"][name][key], abs=1e-9)
        stderr = expected["results"][name][key.replace(",", "_stderr,")]
        assert scores["stderr"] == pytest.approx(100 * stderr, abs=1e-9)
    theirs_by_hash = {
        (sample["doc_hash"], sample["filter"]): sample for samples in expected["samples"].values() for sample in samples
    }
    items = pq.read_table(tmp_path / "Column.parquet").to_pylist()
    assert len(items) == len(theirs_by_hash) > 2
    for item in items:
        sample = theirs_by_hash[item["doc_hash"], item["filter"]]
        assert (item["prompt_hash"], item["target_hash"]) == (sample["prompt_hash"], sample["target_hash"])
        assert item["value"] == sample[record["metric"]]
        answer = sample["filtered_resps"][0]
        if isinstance(answer, str):
            assert item["response"] == answer
        else:
            assert json.loads(item["response"])[0] == pytest.approx(answer[0], abs=1e-3)


def test_an_unknown_task_is_refused_with_the_nearest_names_when_the_config_is_read() -> None:
    with pytest.raises(PrunegridError, match=r"benchmarks\.A.*hellaswga.*hellaswag"):
        an_experiment(evaluation={"benchmarks": {"A": {"task": "hellaswga"}}})


def test_a_temperature_is_refused_when_the_config_is_read() -> None:
    with pytest.raises(PrunegridError, match=r"benchmarks\.A\.gen_kwargs.*greedily"):
        an_experiment(evaluation={"benchmarks": {"A": {"task": "lm-eval:gsm8k", "gen_kwargs": {"temperature": 0.5}}}})


def test_a_metric_that_is_no_mean_over_items_is_refused(mirror: Path, tmp_path: Path) -> None:
    """Perplexity: lower is better, and it is the exponential of a mean."""
    benchmark = Benchmark(task="lambada_openai", metric="perplexity")
    with refused("lm-eval's lambada_openai", "perplexity", fix="set metric to one of acc"):
        write_stock_items(benchmark, tmp_path / "items.jsonl", mirror=str(mirror))
    assert not list(tmp_path.iterdir())


def test_a_group_that_is_no_mean_over_items_is_refused_unless_its_tasks_are_of_one_size() -> None:
    group = Group("g", aggregate_metric_list=[AggMetricConfig("acc", weight_by_size=False)])
    tasks = {name: SimpleNamespace(task_name=name, eval_docs=range(size)) for name, size in (("a", 5), ("b", 3))}
    for task in tasks.values():
        group.add(task)
    loaded = stock.LoadedTask("g", tasks, group, [])
    with refused("lm-eval's g", "3 to 5 items", fix="set limit to 3 or less"):
        stock.check_weights(loaded, "acc", None)
    stock.check_weights(loaded, "acc", 3)
    stock.check_weights(loaded, "another", None)


def test_a_task_that_samples_is_refused() -> None:
    with refused("lm-eval's t", "0.7", "not greedy", fix="temperature: 0"):
        stock.greedy("t", {"until": ["x"], "do_sample": True, "temperature": 0.7})
    assert stock.greedy("t", {"until": ["x"], "temperature": 0.0})["do_sample"] is False
