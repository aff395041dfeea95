"""benchmarks/gpu: limits by hand, what the report calls short, its processes, and a whole run at toy size."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu import generation, limits, rates, report, run, training
from gpu.limits import Card, Shape
from gpu.measure import Section
from gpu.processes import run_section
from gpu.selections import differing
from support.programs import program
from support.snakemake_runs import ROOT

TWO = Shape(hidden=8, layers=2, heads=2, kv_heads=1, inner=16, vocabulary=10, tied=True)
CARD = Card(peak=1000.0, bandwidth=100.0)
ROOMY = Card(peak=1000.0, bandwidth=1e12)


def test_a_shapes_weights() -> None:
    """Keys are 4 wide. A layer: queries and outputs 8 x 8, keys and values 8 x 4, three matrices of 8 x 16."""
    assert TWO.kv == 4
    assert TWO.body == 2 * (2 * 64 + 2 * 32 + 3 * 128) == 1152
    assert TWO.head == 80
    assert TWO.parameters == 1152 + 80 + 5 * 8, "and five norms; the head is the embedding"
    assert TWO.lora(rank=3) == 2 * 3 * (2 * 16 + 2 * 12 + 3 * 24)


@pytest.mark.parametrize(
    ("name", "parameters"), [("7b", 6_738_415_616), ("1b", 1_235_814_400), ("1.7b", 1_711_376_384)]
)
def test_the_shapes_are_the_models(name: str, parameters: int) -> None:
    """Llama-2-7B, Llama-3.2-1B and SmolLM2-1.7B as they are published."""
    assert limits.SHAPES[name].parameters == parameters


def test_scorings_limit() -> None:
    """A token: 2 x 1,152, attention 4 x 2 layers x 8 x 5 positions, and a head of 2 x 80 for half of them."""
    limit = limits.scoring(TWO, 5, 0.5, ROOMY)
    assert limit.operations == 2304 + 320 + 80
    assert limit.ideal == 1000 / 2704
    assert limit.eager == pytest.approx(1 / (2304 / 800 + 320 / 450 + 80 / 500))


def test_elementwise_passes_take_the_bandwidths_time() -> None:
    """Bytes: 2 layers x (112 x 8 + 24 x 4 + 10 x 16), for half of the tokens 40 a logit and 1/4096 of the head."""
    moved = 2 * (896 + 96 + 160) + 0.5 * (400 + 160 / 4096)
    fast, slow = (1 / limits.scoring(TWO, 5, 0.5, card).eager for card in (ROOMY, CARD))
    assert slow - fast == pytest.approx(moved / 100)


@pytest.mark.parametrize(
    ("method", "checkpointing", "operations", "matrices", "attention"),
    [
        ("full", False, 3 * 2704, 3 * 2304, 3.5 * 320),
        ("full", True, 3 * 2704, 4 * 2304, 4.5 * 320),
        ("lora", False, 2 * 2704 + 6 * 2048, 2 * 2304, 3.5 * 320),
    ],
)
def test_trainings_limit(
    method: str, checkpointing: bool, operations: float, matrices: float, attention: float
) -> None:
    """Checkpointing computes again, which no operation of the model's is; an adapter of rank 8 has 2,048 weights."""
    limit = limits.training(TWO, 5, 0.5, ROOMY, method, checkpointing)
    times = 2 if method == "lora" else 3
    assert TWO.lora() == 2048
    assert limit.operations == operations
    assert limit.eager == pytest.approx(1 / (matrices / 800 + attention / 450 + times * 80 / 500))


def test_decodings_limit() -> None:
    """A step of 3 rows of 5 positions: 2 x 1,232 bytes of weights; keys and values of 4 x 2 layers x 4 a position."""
    limit = limits.decoding(TWO, 3, 5, CARD)
    assert limit.step == (2464 + 3 * 5 * 32) / 100
    assert limit.ideal == 3 / limit.step


def test_an_h100s_limits_are_those_of_the_readme() -> None:
    """7B scoring 34,700 tokens/s (58 %), LoRA 11,800 (40 %); 64 rows of 512 decode 6,300 tokens/s."""
    seven, card = limits.SHAPES["7b"], Card()
    scoring, training = limits.scoring(seven, 402, 0.77, card), limits.training(seven, 402, 0.77, card)
    assert (round(scoring.eager, -2), round(100 * scoring.eager / scoring.ideal)) == (34_700, 58)
    assert (round(training.eager, -2), round(100 * training.eager / training.ideal)) == (11_800, 40)
    assert round(limits.decoding(seven, 64, 512, card).ideal, -2) == 6_300
    assert round(limits.memory(seven, "lora", 8192, False) / 1e9) == 63


def side(tokens_s: float, expected: float = 1000.0, **others: float) -> dict[str, Any]:
    usual = {"mfu": 50, "peak_gb": 10.0, "step_s": 1.0, "tokens_a_step": tokens_s, "operations_a_token": 1e9}
    return {"tokens_s": tokens_s, "expected": expected, **usual, **others}


def results(device: str = "cuda", **sections: dict[str, Any]) -> dict[str, Any]:
    """As of a run; sections are named `training__7b`."""
    ended = {name.replace("__", ":"): actual | {"ended": "exit 0"} for name, actual in sections.items()}
    return {"device": device, "date": "2030-01-02 03:04", "commit": "abcdef0123456", "sections": ended}


def short(actual: dict[str, Any]) -> list[str]:
    return [row.label for row in report.rows(actual) if row.short]


def test_less_than_four_fifths_of_eager_kernels_is_short() -> None:
    training = {"full": side(799), "drop": side(801)}
    assert short(results(training__7b=training)) == ["training:7b full, tokens/s (50 % MFU, 10.0 GB)"]
    assert short(results("cpu", training__7b=training)) == [], "a CPU falls short of everything"


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"correct__1b": {"packed_bfloat16_drop": {"loss_apart": 0.02}}}, "correct:1b packed_bfloat16_drop loss_apart"),
        ({"correct__1b": {"float32_from_float64": {"nll": 1.5}}}, "correct:1b float32 scores, worst over tolerance"),
        (
            {"resume": {"bf16_deterministic": {"again": {"equal": True}, "resumed": {"equal": False}}}},
            "resume bf16_deterministic: resumed equal",
        ),
        ({"scoring__7b": {"ours_over_bare": 0.94}}, "scoring:7b ours_over_bare"),
        ({"tests_gpu": {"jobs": {"exit": 1}}}, "tests_gpu jobs: pytest's exit"),
        ({"kernels": {"packed_7b_error": "TypeError: enable_gqa"}}, "kernels packed_7b_error"),
    ],
)
def test_what_is_wrong_is_short(sections: dict[str, Any], expected: str) -> None:
    assert short(results(**sections)) == [expected]


def test_runs_that_differ_without_deterministic_are_not_short() -> None:
    case = {"again": {"equal": False}, "resumed": {"equal": False}}
    assert short(results(resume={"bf16": case, "float32": case})) == []


def goals(actual: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {goal["goal"]: (goal["measured"], goal["met"]) for goal in report.goals(actual)}


def test_goals_stand_beside_what_was_measured() -> None:
    compared = {"seconds_a_token_drop_over_full": 1.2, "full_over_trainer_padded": 1.5}
    of_run = results(training__7b={"full": side(12_500), "compared": compared})
    actual = goals(of_run)
    assert actual["LoRA 7B full, tokens/s"] == (12_500, True)
    assert actual["LoRA 7B over the padded Trainer"] == (1.5, True)
    assert actual["7B drop 12.5 x 50, seconds a token over full's"] == (1.2, False)
    assert actual["generation 7B, 64 rows, tokens/s"] == ("not run", None)
    lines = "\n".join(report.table(of_run | {"goals": report.goals(of_run)}))
    assert "not run" in lines and "1.2       <= 1.15  <-- short" in lines


def test_generation_goal_takes_and_names_the_faster_cache() -> None:
    actual = goals(results(generation__7b=MEASURED["generation__7b"]))
    assert actual["generation 7B, 64 rows, tokens/s (ours_static)"] == (5_000, True)


@pytest.mark.parametrize("name", generation.OURS)
def test_the_best_of_our_caches(name: str) -> None:
    slow, fast = {"tokens_s": 1.0, "step_ms": 9.0, "warm": True}, {"tokens_s": 2.0, "step_ms": 4.5, "warm": True}
    measured = dict.fromkeys(generation.OURS, slow) | {name: fast, "static_cache": {"tokens_s": 3.0}}
    assert generation.best(measured) == {"engine": name, "tokens_s": 2.0, "step_ms": 4.5}


def test_engines_that_compile_come_last_and_each_by_itself() -> None:
    assert generation.turns(["ours", "ours_static", "plain", "static_cache"], 2) == [
        (0, "ours"), (0, "plain"), (1, "ours"), (1, "plain"),
        (0, "ours_static"), (1, "ours_static"), (0, "static_cache"), (1, "static_cache"),
    ]  # fmt: skip


def test_a_cpu_meets_no_goal() -> None:
    actual = goals(results("cpu", training__7b={"full": side(99_999)}))
    assert set(actual.values()) == {("not run", None)}


def test_a_cards_own_rates_are_what_is_expected_of_it() -> None:
    own = report.card_of(results(facts={"bf16_tflops": 500.0, "copy_gb_s": 2000.0}))
    assert own == Card(500e12, 2000e9)
    assert report.card_of(results()) == Card()


MEASURED = {
    "facts": {"card": "A card", "device_start_s": 6.0},
    "scoring__7b": {"sides": {"ours": side(30_000)}, "float32": side(3_000), "layer_ms": 0.5},
    "training__7b": {"full": side(10_000), "drop": side(1_000, step_s=0.12)},
    "generation__7b": {
        "ours": {"tokens_s": 2_500.0, "step_ms": 40.0},
        "ours_static": {"tokens_s": 5_000.0, "step_ms": 20.0},
        "best": {"engine": "ours_static", "tokens_s": 5_000.0, "step_ms": 20.0},
        "limit": {"weights_gb": 13.0},
    },
}


def test_the_plans_rates() -> None:
    """Operations a token are 1e9. 1,000 tokens take 0.1 s of a full step's time, a pruned step of them 0.12 s."""
    actual = rates.for_plan(results(**MEASURED))
    assert actual["models"] == [{"parameters": 6_738_415_616, "forward": 3e13, "float32": 3e12, "lora": 1e13}]
    assert (actual["layer_s"], actual["step_s"], actual["start_s"]) == (0.0005, 0.02, 6.0)
    assert actual["decode_bytes_s"] == 13e9 / 0.02
    assert actual["source"] == "measured on A card, 2030-01-02, commit abcdef0123; generation: ours_static"


def test_the_plan_reads_what_the_kit_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prunegrid.plan.gpu_rates import GpuRates

    (tmp_path / "results.json").write_text(json.dumps(results(**MEASURED)))
    monkeypatch.setattr(rates, "FILE", ROOT / "build" / "gpu_rates.json")
    monkeypatch.setattr(rates, "write_json", lambda path, value: (tmp_path / path.name).write_text(json.dumps(value)))
    rates.main([str(tmp_path / "results.json")])
    read = GpuRates.model_validate_json((tmp_path / "gpu_rates.json").read_text())
    assert read.operations("full", 10**9, bf16=True) == 1e13, "as LoRA's"


@pytest.mark.parametrize(
    ("left_out", "message"), [("generation__7b", "do not tell decode_bytes_s"), ("scoring__7b", "do not tell layer_s")]
)
def test_half_a_run_gives_no_rates(left_out: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        rates.for_plan(results(**{name: actual for name, actual in MEASURED.items() if name != left_out}))
    with pytest.raises(SystemExit, match="a CPU's"):
        rates.for_plan(results("cpu", **MEASURED))


def test_shares_of_two_selections() -> None:
    """Samples 1 and 2 of three; of sample 1's tokens two of four, of sample 2's all."""
    one, other = {1: {0, 1, 2}, 2: {5}, 3: {0}}, {1: {1, 2, 3}, 2: {5}}
    assert differing(one, other) == {"samples": 0.3333, "tokens": 0.4}


def test_ligers_side_runs_after_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernels stay in the process, and only a GPU has them: here the sides only note that they ran."""
    order: list[str] = []

    class Noted(training.Bench):
        def __init__(self, *_: Any) -> None:
            self.sides, self.longest = dict.fromkeys(("full", training.LIGER, "trl_packed"), dict), 0.0

        def measure(self, name: str, number: int) -> None:
            order.append(name)

        def profile(self) -> dict[str, Any]:
            return {"profiled": order.append("profile")}

    monkeypatch.setattr(training, "Bench", Noted)
    training.run(Section("cpu", "tiny", tmp_path / "section.json", 100, CARD))
    assert order == ["full", "trl_packed", "profile", training.LIGER]


@pytest.mark.parametrize(
    ("ending", "ended"),
    [("killed", "exit -9"), ("fails", "exit 3"), ("hangs", "killed after 2 s")],
    ids=["killed", "fails", "hangs"],
)
def test_a_section_that_ends_badly_leaves_what_it_stored(ending: str, ended: str, tmp_path: Path) -> None:
    part = tmp_path / "section.json"
    actual = run_section(program("section", ending, part), part, tmp_path / "log.txt", 2, "cpu")
    assert (actual["a"], actual["ended"]) == (1, ended)
    assert not part.exists()


def test_a_killed_section_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(module: str, model: str, device: str, part: Path, seconds: float, card: Any) -> list[str]:
        return program("section", "killed" if module == "correct" else "ends", part)

    monkeypatch.setattr(run, "section_command", command)
    options = argparse.Namespace(out=tmp_path, seconds=100, device="cpu", models=["tiny"], only=None)
    order = (run.Entry("facts", "", 30), run.Entry("correct", "small", 30), run.Entry("scoring", "large", 30))
    run.measure_all(options, order)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert {name: (actual["a"], actual["ended"]) for name, actual in stored["sections"].items()} == {
        "facts": (1, "exit 0"),
        "correct:tiny": (1, "exit -9"),
        "scoring:tiny": (1, "exit 0"),
    }
    assert next(line for line in stored["table"] if "exit -9" in line).endswith("<-- short")


def test_sections_for_which_no_time_is_left_are_not_run(tmp_path: Path) -> None:
    options = argparse.Namespace(out=tmp_path, seconds=10, device="cpu", models=["tiny"], only=None)
    actual = run.measure_all(options, (run.Entry("facts", "", 30),))["sections"]
    assert actual == {"facts": {"ended": "not run", "why": "10 s were left"}}


EXPECTED = {
    "facts": {"versions", "bf16_tflops", "fp32_tflops", "copy_gb_s", "launch_us", "sha256_gb_s", "disk_write_gb_s"},
    "kernels": {"varlen_attn", "packed_7b", "packed_grouped", "sdpa_default_tflops", "head_tiny", "head_tiny_fused"},
    "tests_gpu": {"tests_gpu"},
    "correct:tiny": {
        "packed_bfloat16_mask", "packed_float32_drop", "scores_bf16_from_float32", "float32_from_float64",
        "selections_differing_bf16_from_float32", "selections_differing_bf16_from_bf16_alone",
    },
    "training:tiny": {
        "full", "drop", "mask", "dynamic", "full_checkpointing", "full_all_weights", "trainer_padded", "trl_packed",
        "compared", "profile",
    },
    "scoring:tiny": {"sides", "ours_over_bare", "ours_over_naive", "naive", "layer_ms", "profile", "float32"},
    "generation:tiny": {
        "limit", "ours", "ours_static", "best", "dynamic_cache", "static_cache", "continuous_batching",
        "options_items_s", "tokens_as_dynamic_cache",
    },
    "resume": {"bf16", "float32"},
    "vllm_engine:tiny": {"vllm"},
}  # fmt: skip


@pytest.mark.slow
def test_the_whole_kit_at_toy_size(tmp_path: Path) -> None:
    """Every section ends well and stores what it should; what is right or wrong on any device is right here."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks/gpu"),
        "--device",
        "cpu",
        "--models",
        "tiny",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run([*command, "--seconds", "900"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["schema"] == run.SCHEMA and stored["device"] == "cpu" and stored["commit"]
    log = (tmp_path / "log.txt").read_text()[-5000:]
    assert {name: actual["ended"] for name, actual in stored["sections"].items()} == dict.fromkeys(
        EXPECTED, "exit 0"
    ), log
    for name, keys in EXPECTED.items():
        assert keys <= stored["sections"][name].keys(), name
    errors = {key: value for actual in stored["sections"].values() for key, value in actual.items() if "error" in key}
    assert errors == {}
    cases = [case for case in stored["sections"]["resume"].values() if isinstance(case, dict)]
    assert len(cases) == 4 and all(case[which]["equal"] for case in cases for which in ("again", "resumed"))
    assert {"models", "layer_s", "step_s", "decode_bytes_s", "start_s"} == stored["rates"].keys()
    assert "not run" in done.stdout and "goal" in done.stdout
