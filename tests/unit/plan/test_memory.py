"""Sizes and peak memory of the plan, against numbers worked out by hand and known models' own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment, load
from prunegrid.experiment.training import Lora, Training
from prunegrid.models.architecture import Shape, usual_shape
from prunegrid.models.size import ASSUMED, Size, model_size
from prunegrid.plan.gpus import gpu_lines, sharing_fits
from prunegrid.plan.memory import gpu_peak_mb, peak_mb, rank_bytes, resolve_checkpointing
from prunegrid.plan.minutes import minutes
from prunegrid.training.memory_model import (
    CUDA_CONTEXT_MIB,
    MIB,
    checkpointing_needed,
    lora_parameters,
    training_activations,
)
from support.errors import refused
from support.results_folder import an_experiment, put

LLAMA = Shape(4096, 11008, 4096, 32, 32000, tied=False)
MISTRAL = Shape(4096, 14336, 1024, 32, 32000, tied=False)
SMOL = Shape(576, 1536, 192, 30, 49152, tied=True)
SMOL_17B = Shape(2048, 8192, 2048, 24, 49152, tied=True)
LLAMA_1B = Shape(2048, 8192, 512, 16, 128_256, tied=True)
P = 6_738_415_616
SEVEN = Size(P, "known", LLAMA)


def trained(device: str = "cuda", parameters: int | None = P, **training: Any) -> Experiment:
    return an_experiment(
        models={"m": {"hub": "org/m", "parameters": parameters}}, device=device, training={"ranks": 8} | training
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "m/config.json", {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2})
    save_file({"a": np.zeros((100, 8)), "b": np.zeros(8)}, tmp_path / "m/model-1.safetensors")
    save_file({"c": np.zeros((4, 2))}, tmp_path / "m/model-2.safetensors")
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("shape", "count"),
    [(LLAMA, P), (MISTRAL, 7_241_732_096), (SMOL, 134_515_008)],
    ids=["LLaMA2", "Mistral", "SmolLM2"],
)
def test_shape_gives_the_parameters_of_known_models(shape: Shape, count: int) -> None:
    assert shape.count == count


def test_a_model_in_a_folder_is_counted(folder: Path, tmp_path: Path) -> None:
    actual = model_size(an_experiment(models={"m": {"path": str(folder)}}), "m", tmp_path)
    assert (actual.count, actual.shape.layers) == (100 * 8 + 8 + 4 * 2, 2)


def test_model_size_refuses_a_wrong_stated_size(folder: Path, tmp_path: Path) -> None:
    stated = an_experiment(models={"m": {"path": str(folder), "parameters": 820}})
    assert model_size(stated, "m", tmp_path).count == 816, "within 1 %: the true one"
    with refused("models.m.parameters", 900, 816):
        model_size(an_experiment(models={"m": {"path": str(folder), "parameters": 900}}), "m", tmp_path)


def test_model_size_of_unknown_models_is_assumed(tmp_path: Path) -> None:
    actual = model_size(an_experiment(models={"m": {"hub": "org/m"}}), "m", tmp_path)
    assert (actual.count, actual.origin) == (ASSUMED, "assumed; give models.m.parameters")


def test_damaged_model_is_an_error_of_the_plan_alone(folder: Path, tmp_path: Path) -> None:
    """The Snakefile asks for memory while it is parsed; the job that reads the model says what is wrong."""
    (folder / "model-1.safetensors").write_bytes(b"short")
    experiment = an_experiment(models={"m": {"path": str(folder)}})
    with refused(folder / "model-1.safetensors", "damaged", fix=f"rm -r {folder}"):
        model_size(experiment, "m", tmp_path)
    assert peak_mb("score", experiment, root=tmp_path) > 2 * 4 * ASSUMED / MIB


def test_choosing_needs_memory_for_samples_not_for_tokens(tmp_path: Path) -> None:
    """10^8 samples of 140 tokens: 250 and 150 MiB and 120 bytes a sample. Vectors are read as a table is."""
    put(tmp_path / "scores/m/meta.json", {"samples": 10**8, "tokens": 14 * 10**9})
    scalars, vectors = an_experiment(), an_experiment(variants=["random+random", "k-center+random"])
    assert peak_mb("choose", scalars, root=tmp_path) == 400 + 120 * 10**8 // MIB
    assert peak_mb("choose", vectors, root=tmp_path) == 250 + 40 * 14 * 10**9 // MIB
    put(tmp_path / "scores/m/meta.json", {"samples": 100, "tokens": 14_000})
    assert peak_mb("prune", scalars, root=tmp_path) == 250


def test_stating_the_size_makes_nothing_stale() -> None:
    """What the rule `model` is given, and what its manifest records, is the source alone."""
    assert trained(parameters=P).sources == trained(parameters=None).sources
    assert "parameters" not in trained(parameters=None).model_dump(mode="json")["models"]["m"]


def test_an_assumed_shape_is_near_the_true_one() -> None:
    """12 L (128 L)^2 = 6.74e9 at L = 32.5: 32 layers, 4096 wide, as LLaMA2-7B has."""
    assert (usual_shape(P).layers, usual_shape(P).hidden) == (32, 4096)


def test_lora_of_rank_8_on_all_linear_layers() -> None:
    """Per layer 4 x (4096 + 4096) + 3 x (4096 + 11008) = 78,080; x 8 x 32 = 19,988,480, which peft reports, too."""
    assert lora_parameters(Lora(r=8), LLAMA) == 19_988_480
    assert lora_parameters(Lora(r=8, target_modules=["q_proj", "v_proj"]), LLAMA) == 32 * 8 * 2 * 8192
    assert lora_parameters(Lora(r=8, target_modules=".*_proj"), LLAMA) == 19_988_480, "a pattern may mean all"


def test_full_bf16_on_eight_gpus_with_zero_2() -> None:
    """Weights 2 P; gradients 4 P / 8; Adam and the float32 copy 12 P / 8; buckets of 5e8 x (4 + 2)."""
    parts = rank_bytes(trained(method="full", bf16=True, zero_stage=2), SEVEN)
    assert parts["weights"] == 13_476_831_232
    assert parts["gradients"] == 3_369_207_808
    assert parts["optimizer"] == 10_107_623_424
    assert parts["communication"] == 3_000_000_000


def test_full_bf16_on_eight_gpus_with_zero_3() -> None:
    """Weights 2 P / 8 = 1,684,603,904, and 1e9 parameters gathered."""
    parts = rank_bytes(trained(method="full", bf16=True, zero_stage=3), SEVEN)
    assert parts["weights"] == 1_684_603_904 + 2_000_000_000
    assert parts["gradients"] == 3_369_207_808


def test_lora_bf16_on_eight_gpus() -> None:
    """T = 19,988,480: weights 2 (P + T), gradients 4 T / 8, optimizer 12 T / 8, buckets 6 T."""
    parts = rank_bytes(trained(bf16=True, zero_stage=2), SEVEN)
    assert parts["weights"] == 2 * (P + 19_988_480)
    assert (parts["gradients"], parts["optimizer"], parts["communication"]) == (9_994_240, 29_982_720, 119_930_880)


def test_plain_float32_on_one_rank() -> None:
    """4 bytes of weights, 4 of gradients, 8 of Adam; ZeRO 1 and 2 keep a copy of 4 even so."""
    small = Size(1000, "known", LLAMA)
    for stage, optimizer in [(0, 8000), (1, 12000), (2, 12000)]:
        parts = rank_bytes(trained("cpu", method="full", ranks=1, zero_stage=stage), small)
        assert (parts["weights"], parts["gradients"], parts["optimizer"]) == (4000, 4000, optimizer)
        assert parts["communication"] == 8000, "DeepSpeed has its buckets at one rank, too"


def test_activations() -> None:
    """A token of a layer: 2 x (5 x 4096 + 2 x 4096 + 4 x 11008) + 8 x 4096 = 178,176 bytes; a pass has 4,096.

    With gradient checkpointing 2 x 4096 a layer and token, and one layer whole. Half a layer to work in. Where all
    weights are trained 2 x 2 x 4096 more. Logits: three times 4 bytes, of 4,096 positions on a GPU.
    """
    logits = 3 * 4 * 4096 * 32000
    plain = rank_bytes(trained(bf16=True), SEVEN)["activations"]
    assert plain == round(4096 * 32.5 * 178_176) + logits
    checkpointed = rank_bytes(trained(bf16=True, gradient_checkpointing=True), SEVEN)["activations"]
    assert checkpointed == 4096 * 32 * 8192 + round(4096 * 1.5 * 178_176) + logits
    full = rank_bytes(trained(bf16=True, method="full"), SEVEN)["activations"]
    assert full - plain == round(4096 * 32.5 * 16_384)


def test_large_vocabulary_has_smaller_chunks_on_a_cpu() -> None:
    """2^23 / 128,256 = 65 positions there; 2^29 / 128,256 = 4,185 on a GPU, where 4,096 are the most."""
    shape = Shape(2048, 8192, 512, 16, 128_256, tied=True)
    training = Training(gradient_checkpointing=True)
    on = {device: training_activations(training, shape, 2048, device) for device in ("cpu", "cuda")}
    assert on["cuda"] - on["cpu"] == 3 * 4 * 128_256 * (4096 - 65)


@pytest.mark.parametrize(
    ("shape", "method", "gigabytes", "checkpointed"),
    [
        (LLAMA, "lora", 64, 21),
        (LLAMA, "full", 179, 131),
        (SMOL_17B, "lora", 29, 9),
        (SMOL_17B, "full", 61, 40),
        (LLAMA_1B, "lora", 24, 12),
        (LLAMA_1B, "full", 48, 35),
    ],
)
def test_passes_of_8192_tokens_on_one_gpu(shape: Shape, method: str, gigabytes: int, checkpointed: int) -> None:
    """The table of docs/explanation/cost-model.md, in GB: without and with gradient checkpointing, CUDA's gigabyte
    included."""
    for on, expected in {False: gigabytes, True: checkpointed}.items():
        experiment = trained(
            ranks=1, method=method, bf16=True, batch_tokens=8192, gradient_checkpointing=on, parameters=shape.count
        )
        parts = rank_bytes(experiment, Size(shape.count, "known", shape))
        assert round((sum(parts.values()) + CUDA_CONTEXT_MIB * MIB) / 1e9) == expected


@pytest.mark.parametrize(("gigabytes", "on"), [(80, False), (72, False), (70, True), (40, True)])
def test_auto_checkpoints_above_nine_tenths_of_the_gpu(gigabytes: float, on: bool) -> None:
    """LoRA of a 7B at 8,192 tokens takes 64.0 GB."""
    training = Training(bf16=True, batch_tokens=8192, gradient_checkpointing="auto")
    assert checkpointing_needed(training, SEVEN, 2048, gigabytes * 1e9) is on
    for setting in (False, True):
        told = training.model_copy(update={"gradient_checkpointing": setting})
        assert checkpointing_needed(told, SEVEN, 2048, gigabytes * 1e9) is setting


def auto(device: str = "cuda", runtime: dict[str, Any] | None = None, **training: Any) -> Experiment:
    training = {"bf16": True, "batch_tokens": 8192, "gradient_checkpointing": "auto", "ranks": 1} | training
    models = {"m": {"hub": "org/m", "parameters": P}}
    return an_experiment(models=models, device=device, training=training, runtime=runtime or {})


def test_plan_resolves_auto_for_the_assumed_gpu() -> None:
    assert resolve_checkpointing(auto(), SEVEN).gradient_checkpointing is False
    assert resolve_checkpointing(auto(runtime={"gpu_memory_gb": 40}), SEVEN).gradient_checkpointing is True
    assert resolve_checkpointing(auto(runtime={"cells_per_gpu": 2}), SEVEN).gradient_checkpointing is True, (
        "it has half of 80 GB"
    )
    two_ranks = auto(runtime={"cells_per_gpu": 2}, ranks=2)
    assert resolve_checkpointing(two_ranks, SEVEN).gradient_checkpointing is False, (
        "several ranks are alone on their GPUs"
    )
    assert resolve_checkpointing(auto("cpu"), SEVEN).gradient_checkpointing is False


def test_auto_is_no_more_work_than_off_where_it_is_off() -> None:
    """`auto` is a string, and true where it is asked for its truth."""
    off, on = (auto(gradient_checkpointing=setting) for setting in (False, True))
    assert minutes("train", auto()) == minutes("train", off) < minutes("train", on)
    assert minutes("train", auto(runtime={"gpu_memory_gb": 40})) == minutes("train", on)
    assert gpu_peak_mb("train", auto()) == gpu_peak_mb("train", off) > gpu_peak_mb("train", on)


def test_sharing_fits_or_names_how_many_jobs_do() -> None:
    """The largest of 135M is a training of 9.6 GB."""
    small = {"models": {"s": {"hub": "org/s", "parameters": SMOL.count}}, "device": "cuda"}
    settings = {"batch_tokens": 8192, "ranks": 1}
    largest = MIB * gpu_peak_mb("train", an_experiment(**small, training=settings))
    eight = an_experiment(**small, training=settings, runtime={"cells_per_gpu": 8})
    right, words = sharing_fits(eight, 9 * largest)
    assert right and words.startswith(f"8 x {largest / 1e9:.1f} GB (train, the largest)")
    right, words = sharing_fits(eight, 8 * largest)
    assert not right and "do not fit 90% of" in words and "take runtime.cells_per_gpu: 7" in words
    several = an_experiment(**small, training=settings | {"ranks": 2}, runtime={"cells_per_gpu": 8})
    assert "(train" not in sharing_fits(several, 80e9)[1], "a training of two ranks shares no GPU"


def test_an_offloaded_optimizer_moves_to_main_memory() -> None:
    on, off = (trained(method="full", bf16=True, offload_optimizer=offload) for offload in (False, True))
    assert gpu_peak_mb("train", on) - gpu_peak_mb("train", off) == pytest.approx(12 * P / 8 / MIB, abs=2)
    assert peak_mb("train", off) - peak_mb("train", on) == pytest.approx(16 * P / MIB, abs=2)


def test_gpus_are_used_by_those_who_compute() -> None:
    rules = ["train", "train_dynamic", "score", "extra_score", "evaluate", "prune", "collect", "model"]
    assert [gpu_peak_mb(rule, trained()) > 0 for rule in rules] == [True] * 5 + [False] * 3
    assert {gpu_peak_mb(rule, trained("cpu")) for rule in rules} == {0}


@pytest.mark.parametrize("own", [{"batch_tokens": 16_384}, {"packing": False, "per_device_train_batch_size": 32}])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_variant_whose_training_needs_most_decides(own: dict[str, Any], device: str) -> None:
    """Any cell's job is given what the config would give to all, were its keys the variant's."""
    models = {"m": {"hub": "org/m", "parameters": P}}
    small = {"random+ppl": {"method": "random+ppl", "training": {"batch_tokens": 2048}}}
    large = {"large": {"method": "random+random", "training": own}}
    plain, mixed, whole = (
        an_experiment(models=models, device=device, variants=variants, training=training)
        for variants, training in (
            (["random+random", small], {}),
            (["random+random", small, large], {}),
            (["random+random", "random+ppl"], own),
        )
    )
    peak = gpu_peak_mb if device == "cuda" else peak_mb
    for rule in ("train", "train_dynamic"):
        assert peak(rule, plain) < peak(rule, mixed) == peak(rule, whole)
    assert peak_mb("score", plain) == peak_mb("score", mixed)
    largest = max(grid.trainings(mixed), key=lambda training: sum(rank_bytes(mixed, SEVEN, training).values()))
    assert {key: getattr(largest, key) for key in own} == own


def test_auto_is_decided_for_each_variants_training(tmp_path: Path) -> None:
    """LoRA of a 7B takes 64.0 GB at 8,192 tokens a pass, and more than 72 of 80 at 16,384."""
    large = {"large": {"method": "random+random", "training": {"batch_tokens": 16_384}}}
    changed = auto().model_dump(mode="json") | {"variants": ["random+random", large]}
    for experiment, word in ((auto(), "off"), (load(changed), "on for some variants, off for others")):
        assert f"m: gradient_checkpointing is auto: {word}" in "\n".join(gpu_lines(experiment, tmp_path))
    assert "auto: on" in "\n".join(gpu_lines(auto(batch_tokens=16_384), tmp_path))


def test_the_largest_model_decides() -> None:
    both = an_experiment(models={"s": {"hub": "org/s", "parameters": 10**8}, "m": {"hub": "org/m", "parameters": P}})
    assert peak_mb("score", both) == peak_mb("score", both, "m") > peak_mb("score", both, "s")
