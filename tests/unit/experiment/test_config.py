"""The config: what it refuses, with which words; the shipped experiments; the grid they expand to."""

import copy
import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from prunegrid.core.errors import PrunegridError, PrunegridErrors
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment, load
from prunegrid.experiment.variant import Budget
from support.errors import refused
from support.results_folder import an_experiment

ROOT = Path(__file__).parents[3]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
FILES = ["config.yaml", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "experiments").glob("*.yaml"))]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The default config with the key at `path` (dots and numbers) set to `value`."""
    values = copy.deepcopy(DEFAULT)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = values
    for part in parents:
        place = place[part]
    place[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("trainng", {}, "config.yaml: trainng: is not a key; did you mean training?"),
        ("training.learning_rat", 1, "training.learning_rat: is not a key; did you mean learning_rate?"),
        ("models.sandbox-1M.pretrain.sead", 1, "pretrain.sead: is not a key; did you mean seed?"),
        ("budgets.0.token_ratio", 1.4, "budgets[0].token_ratio: is 1.4; give a fraction in (0, 1]"),
        ("budgets.0.sample_ratio", 0, "budgets[0].sample_ratio: is 0; give a fraction in (0, 1]"),
        ("sample_ratios", [0.5, 0.5, 2], "sample_ratios[2]: is 2; give a fraction in (0, 1]"),
        ("variants.0", "random+pll", "variants[0]: pll: is not a token pruner; did you mean ppl?"),
        ("variants.0", "qtunning", "did you mean qtuning?"),
        ("variants.0", {"mine": {"method": "qtuning", "lambda": 0}}, "qtuning: has no option 'lambda'"),
        ("variants.0", {"full": {"method": "qtuning"}}, "'full' is the name of a reference cell"),
        ("variants.0", "qtuning", "variants lists qtuning more than once"),
        (
            "variants.0",
            {"x": {"method": "random+random", "match": "qtunin"}},
            "x: match is 'qtunin'; name one of this exp",
        ),
        ("variants.0", {"x": {"method": "qtuning", "match": "random+ppl"}}, "x: qtuning prunes by its own rules"),
        (
            "variants.0",
            {"x": {"method": "random+random", "match": "equal-budget"}},
            "match is 'equal-budget'; name one",
        ),
        ("variants.0", {"x": {"method": "random+sparsevlm", "sparsevlm": "literal"}}, "allow_degenerate: true"),
        ("models.sandbox-1M.reference.reference", {}, "reference.reference: is not a key"),
        ("sample_ratios", [0.5], "give either budgets, or sample_ratios and token_ratios"),
        ("training.zero_stage", 4, "training.zero_stage: is 4"),
        ("dataset.path", "x.jsonl", "dataset: give either hub or path"),
        ("sandbox", None, "needs a sandbox section"),
        ("experiment", "../elsewhere", "it names a folder"),
        ("dataset.hub", "sandbox/judge", "sandbox/judge (config default, split train) is not in the sandbox; org/name"),
        ("dataset.hub", "sandbox/sfd", "sandbox/sfd (config default, split train) is not in the sandbox; org/name"),
        ("seeds", [-1], "seeds[0]: is -1"),
        ("dataset.carry", ["sample_id"], "dataset: carry names sample_id, which the data set has already"),
        (
            "models.sandbox-1M.pretrain.hidden_size",
            130,
            "pretrain.hidden_size: is 130; input should be a multiple",
        ),
        ("training.lr_scheduler_type", "cosin", "training.lr_scheduler_type: is 'cosin'"),
        (
            "evaluation.benchmarks.ARC-E.task",
            "arc_eazy",
            "benchmarks.ARC-E: protocol harness: has no task 'arc_eazy', and lm-eval",
        ),
        ("evaluation.benchmarks.Avg", {"task": "gsm8k", "data": {"path": "x"}}, "the name of the average's column"),
    ],
)
def test_load_names_bad_values_with_their_fix(path: str, value: Any, message: str) -> None:
    with pytest.raises(PrunegridError) as raised:
        load(changed(path, value))
    assert message in str(raised.value)


def test_bf16_needs_a_zero_stage() -> None:
    values = changed("training.bf16", True)
    load(values)
    with refused("config.yaml", "training.bf16", "zero_stage 1, 2 or 3", fix=""):
        load(values | {"training": values["training"] | {"zero_stage": 0}})


def test_load_reports_every_finding() -> None:
    values = changed("seedz", [1]) | {"device": "tpu"}
    with pytest.raises(PrunegridError) as raised:
        load(values, "mine.yaml")
    assert isinstance(raised.value, PrunegridErrors)
    assert [error.where for error in raised.value.errors] == ["mine.yaml: device", "mine.yaml: seedz"]


@pytest.mark.parametrize("file", FILES)
def test_shipped_experiments_survive_a_round_trip(file: str) -> None:
    experiment = load(yaml.safe_load((ROOT / file).read_text()), file)
    repeated = load(json.loads(json.dumps(experiment.model_dump(mode="json"))))
    assert repeated == experiment


def test_schema_is_up_to_date() -> None:
    shipped = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert shipped == Experiment.model_json_schema(), "run: make schema"


def test_schema_describes_every_key() -> None:
    schema = Experiment.model_json_schema()
    sections = {"Experiment": schema, **schema["$defs"]}
    keys = {name: section.get("properties", {}) for name, section in sections.items()}
    assert not [f"{name}.{key}" for name, each in keys.items() for key in each if "description" not in each[key]]


@pytest.mark.parametrize("file", FILES)
def test_schema_accepts_shipped_experiments(file: str) -> None:
    jsonschema.validate(yaml.safe_load((ROOT / file).read_text()), Experiment.model_json_schema())


def test_schema_refuses_a_misspelt_key() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(DEFAULT | {"trainng": {}}, Experiment.model_json_schema())


def test_training_of_resets_settings_without_effect() -> None:
    values = changed("training.removal", "drop")
    values["training"]["lora"] = {"r": 64}
    experiment = load(values)
    full = next(cell for cell in grid.cells(experiment) if cell.variant == "full")
    pruned = next(cell for cell in grid.cells(experiment) if cell.pruned)
    assert grid.training_of(experiment, full).removal == "mask"
    assert grid.training_of(experiment, pruned).removal == "drop"
    assert grid.training_of(experiment, pruned).lora.r == 8, "no adapter in full fine-tuning"


def test_ratios_expand_to_budgets() -> None:
    values = {key: value for key, value in DEFAULT.items() if key != "budgets"}
    experiment = load(values | {"sample_ratios": [0.125, 0.25], "token_ratios": [0.5, 0.7]})
    assert [b.name for b in experiment.grid_budgets] == [
        "s0.125-t0.5",
        "s0.125-t0.7",
        "s0.25-t0.5",
        "s0.25-t0.7",
    ]


def test_budget_names_differ_for_any_two_ratios() -> None:
    a, b = (Budget(sample_ratio=r, token_ratio=1) for r in (0.12345678, 0.12345679))
    assert a.name != b.name


def test_variant_with_options() -> None:
    experiment = load(changed("variants.15", {"l0": {"method": "qtuning", "neighbor_lambda": 0, "removal": "drop"}}))
    variant = experiment.variant("l0")
    assert (variant.method, variant.options, variant.removal) == ("qtuning", {"neighbor_lambda": 0}, "drop")


def test_reference_model_is_required_only_if_compared_with() -> None:
    values = changed("models.sandbox-1M.reference", None)
    assert list(load(values).sources) == ["sandbox-1M"]
    values["variants"].append("random+token-cleaning")
    with pytest.raises(
        PrunegridError, match=r"random\+token-cleaning needs a reference model; give models.sandbox-1M.ref"
    ):
        load(values)


def test_reference_model_has_its_own_source() -> None:
    experiment = load(DEFAULT)
    assert list(experiment.sources) == ["sandbox-1M", "sandbox-1M@reference"]
    assert "reference" not in experiment.sources["sandbox-1M"].model_dump(), "another reference is no other model"


def test_extra_columns_and_matched_cells() -> None:
    experiment = load(changed("variants.0", {"ours": {"method": "ifd+fastv", "fastv": "original"}}))
    cell_of = {cell.variant: cell for cell in grid.cells(experiment) if cell.pruned}
    assert grid.extra_columns(experiment, cell_of["ours"]) == ["fastv_layer2", "ifd"]
    assert grid.extra_columns(experiment, cell_of["qtuning"]) == []
    assert grid.matched_cell(experiment, cell_of["equal-budget"]) == cell_of["qtuning"]
    assert grid.matched_cell(experiment, cell_of["qtuning"]) is None


def test_paper_grid_counts() -> None:
    cells = grid.cells(load(yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())))
    assert len(cells) == 106
    assert sum(cell.trained for cell in cells) == 104 == 2 * (3 * 17 + 1)
    assert sum(cell.pruned for cell in cells) == 102
    assert len({(cell.model, cell.path) for cell in cells}) == 106


@pytest.mark.parametrize(("stage", "bf16"), [(2, True), (0, False)])
def test_dtype_on_a_gpu_defaults_to_bfloat16(stage: int, bf16: bool) -> None:
    gpu = DEFAULT | {"device": "cuda", "scoring": {}, "training": {"zero_stage": stage}}
    gpu["evaluation"] = {"benchmarks": DEFAULT["evaluation"]["benchmarks"]}
    actual = load(gpu)
    assert (actual.scoring.dtype, actual.evaluation.dtype, actual.training.bf16) == ("bfloat16", "bfloat16", bf16)
    kept = load(gpu | {"scoring": {"dtype": "float32"}, "training": {"bf16": False}})
    assert (kept.scoring.dtype, kept.training.bf16) == ("float32", False)
    cpu = load(gpu | {"device": "cpu"})
    assert (cpu.scoring.dtype, cpu.evaluation.dtype, cpu.training.bf16) == ("float32", "float32", False)


def _benchmark(**keys: Any) -> dict[str, Any]:
    return changed("evaluation.benchmarks.GSM8K", DEFAULT["evaluation"]["benchmarks"]["GSM8K"] | keys)


def test_gen_kwargs_change_the_task_and_absent_ones_do_not() -> None:
    plain = load(DEFAULT).evaluation.benchmarks["GSM8K"]
    assert plain.model_dump(mode="json").keys() == {"task", "data", "limit"}, "dumps of older configs stay as they were"
    drawn = load(_benchmark(repeats=4, gen_kwargs={"temperature": 1.0, "top_p": 0.9})).evaluation.benchmarks["GSM8K"]
    assert drawn.model_dump(mode="json")["gen_kwargs"] == {"temperature": 1.0, "top_p": 0.9}
    kwargs = drawn.find_task("harness").config["generation_kwargs"]
    assert (kwargs["do_sample"], kwargs["temperature"], kwargs["top_p"], kwargs["max_gen_toks"]) == (
        True,
        1.0,
        0.9,
        256,
    )
    assert drawn.find_task("harness").digest != plain.find_task("harness").digest
    shorter = load(_benchmark(gen_kwargs={"max_gen_toks": 16, "temperature": 0})).evaluation.benchmarks["GSM8K"]
    assert shorter.find_task("harness").config["generation_kwargs"]["do_sample"] is False


@pytest.mark.parametrize(
    ("path", "keys", "words"),
    [
        ("GSM8K", {"repeats": 2}, "greedy answers to an item are all the same"),
        ("GSM8K", {"repeats": 2, "gen_kwargs": {"temperature": 0}}, "greedy answers to an item are all the same"),
        ("GSM8K", {"gen_kwargs": {"num_beams": 2}}, "num_beams"),
        ("GSM8K", {"gen_kwargs": {"temperature": -1}}, "temperature"),
        ("GSM8K", {"gen_kwargs": {"temperature": 0.001}}, "give 0, or at least 0.01"),
        ("GSM8K", {"gen_kwargs": {"top_p": 0.9}}, "top_p needs a temperature"),
        ("GSM8K", {"gen_kwargs": {"top_k": 5, "temperature": 0}}, "top_k needs a temperature"),
        pytest.param(
            *("GSM8K", {"task": "lm-eval:gsm8k", "gen_kwargs": {"temperature": 1}}, "decoded greedily"),
            marks=pytest.mark.skipif(not find_spec("lm_eval"), reason="lm-eval's own tasks are found where it is"),
        ),
        ("ARC-E", {"repeats": 2, "gen_kwargs": {"temperature": 1}}, "its answers are options, not generated"),
        ("ARC-E", {"gen_kwargs": {"temperature": 1}}, "its answers are options, not generated"),
        ("GSM8K", {"gen_kwargs": {"seed": 3}}, "seed has no effect on greedy answers"),
        ("GSM8K", {"gen_kwargs": {"seed": 3, "temperature": 0}}, "seed has no effect on greedy answers"),
    ],
)
def test_gen_kwargs_that_cannot_be_followed_are_refused(path: str, keys: dict[str, Any], words: str) -> None:
    benchmark = DEFAULT["evaluation"]["benchmarks"][path] | keys
    with pytest.raises(PrunegridError, match=words):
        load(changed(f"evaluation.benchmarks.{path}", benchmark))


def test_decoding_fills_what_gen_kwargs_leave_out_of_generated_benchmarks() -> None:
    raw = changed("evaluation.decoding", {"temperature": 1.0, "top_p": 0.9, "seed": 5})
    raw["evaluation"]["benchmarks"]["GSM8K"]["gen_kwargs"] = {"temperature": 0.5, "max_gen_toks": 20}
    raw["evaluation"]["benchmarks"]["SQuAD"]["gen_kwargs"] = {"temperature": 0}
    raw["evaluation"]["benchmarks"]["TriviaQA"]["repeats"] = 3
    evaluation = load(raw).evaluation
    asked = {name: each.gen_kwargs.model_dump() for name, each in evaluation.benchmarks.items()}
    assert asked == {
        "ARC-E": {},
        "ARC-C": {},
        "GSM8K": {"max_gen_toks": 20, "temperature": 0.5, "top_p": 0.9, "seed": 5},
        "SQuAD": {"temperature": 0.0},
        "TriviaQA": {"temperature": 1.0, "top_p": 0.9, "seed": 5},
    }
    assert type(evaluation).model_validate(evaluation.model_dump(mode="json")) == evaluation
    plain = load(DEFAULT).evaluation
    assert "decoding" not in plain.model_dump(mode="json")
    digests = [each.find_task("ARC-E").digest for each in (plain, evaluation)]
    assert digests[0] == digests[1]
    assert plain.find_task("SQuAD").digest == evaluation.find_task("SQuAD").digest


EXAMPLES = {"data": {"hub": "sandbox/gsm8k", "config": "main", "split": "test"}, "rows": [1, 0]}


@pytest.mark.parametrize(
    ("path", "keys", "words"),
    [
        ("ARC-E", {"examples": EXAMPLES}, "are options, not generated"),
        ("GSM8K", {"examples": EXAMPLES | {"rows": [1, 1]}}, "each once"),
        ("GSM8K", {"examples": EXAMPLES | {"rows": []}}, "rows"),
        ("GSM8K", {"task": "math", "examples": EXAMPLES}, "has 4 examples of its own"),
        ("GSM8K", {"examples": EXAMPLES | {"data": {"hub": "openai/gsm8k"}}}, "is not in the sandbox"),
    ],
)
def test_examples_that_a_benchmark_cannot_have_are_refused(path: str, keys: dict[str, Any], words: str) -> None:
    benchmark = DEFAULT["evaluation"]["benchmarks"][path] | keys
    with pytest.raises(PrunegridError, match=words):
        load(changed(f"evaluation.benchmarks.{path}", benchmark))
    assert load(_benchmark(examples=EXAMPLES)).evaluation.benchmarks["GSM8K"].example_rows.rows == [1, 0]


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"top_p": 0.9}, "top_p needs a temperature"),
        ({"temperature": 0.001}, "give 0, or at least 0.01"),
        ({"seed": 3}, "no benchmark uses decoding"),
        ({"temperature": 0}, "no benchmark uses decoding"),
        ({"seed": -1, "temperature": 1}, "seed"),
    ],
)
def test_decoding_without_effect_is_refused(decoding: dict[str, Any], words: str) -> None:
    with pytest.raises(PrunegridError, match=words):
        load(changed("evaluation.decoding", decoding))


@pytest.mark.parametrize(
    ("name", "dataset", "models", "budgets"),
    [("paper_v2", "WizardLM", 2, 6), ("paper_math", "MathInstruct", 3, 3), ("paper_openhermes", "OpenHermes", 1, 6)],
)
def test_v2_grids_are_those_of_the_published_tables(name: str, dataset: str, models: int, budgets: int) -> None:
    experiment = load(yaml.safe_load((ROOT / f"experiments/{name}.yaml").read_text()))
    cells = grid.cells(experiment)
    assert sum(cell.pruned for cell in cells) == models * budgets * 17
    assert sum(cell.trained for cell in cells) == models * (budgets * 17 + 1)
    with (ROOT / "src/prunegrid/published/published_v2.csv").open() as lines:
        rows = [
            row for row in csv.DictReader(lines) if row["dataset"] == dataset and row["table"] not in ("3", "13", "14")
        ]
    printed = {(r["model"], float(r["sample_ratio"]), float(r["token_ratio"])) for r in rows if r["sample_ratio"]}
    ours = {(m, b.sample_ratio, b.token_ratio) for m in experiment.models for b in experiment.budgets}
    assert ours == printed
    assert {*experiment.evaluation.benchmarks, "Avg"} == {row["benchmark"] for row in rows}


@pytest.mark.parametrize(
    ("scores", "where", "fix"),
    [
        ({"nll": "a.jsonl"}, "tiny", "choose another"),
        ({"hidden_mean": "a.jsonl"}, "tiny", "choose another"),
        ({"a b": "a.jsonl"}, "tiny: scores.a b", ""),
        ({"quality": "a{cell}.jsonl"}, "tiny: scores.quality.file", "rename"),
        ({"quality": {"file": "a.jsonl", "direction": "up"}}, "tiny: scores.quality.direction", ""),
        ({"quality": {"file": "a.jsonl", "id": {}}}, "tiny: scores.quality.id", "name a column"),
        ({"quality": {"path": "a.jsonl"}}, "tiny: scores.quality.file", "add it"),
    ],
)
def test_scores_that_cannot_be_columns_are_refused(scores: dict[str, Any], where: str, fix: str) -> None:
    with pytest.raises(PrunegridError) as caught:
        load(an_experiment().model_dump(mode="json") | {"scores": scores}, "tiny")
    assert caught.value.where == where, str(caught.value)
    assert fix in caught.value.fix


def test_the_worse_end_of_imported_scores_is_kept_only_if_a_variant_says_so() -> None:
    scores = {"easy": {"file": "a.jsonl", "direction": "lowest"}}
    plain = {"m": {"method": "imported+ppl", "sample_scores": "easy"}}
    with pytest.raises(PrunegridError, match=r"sample_direction: lowest, or highest") as caught:
        an_experiment(variants=["random+random", plain], scores=scores)
    assert "easy" in caught.value.what
    for direction in ("highest", "lowest"):
        chosen = {"m": plain["m"] | {"sample_direction": direction}}
        assert an_experiment(variants=["random+random", chosen], scores=scores).variant("m")


def test_scores_are_in_a_dump_only_where_they_are_used() -> None:
    assert "scores" not in an_experiment().model_dump(mode="json")
    used = an_experiment(scores={"quality": "a.jsonl"})
    assert used.model_dump(mode="json")["scores"]["quality"]["file"] == "a.jsonl"
    assert Experiment.model_validate(used.model_dump(mode="json")) == used


def test_no_mini_batch_has_a_column_that_is_neither_made_nor_imported() -> None:
    dynamic = {"m": {"method": "imported+ppl", "mode": "dynamic"}}
    with pytest.raises(PrunegridError, match="quality"):
        an_experiment(variants=["random+random", dynamic])
    assert an_experiment(variants=["random+random", dynamic], scores={"quality": "a.jsonl"})
