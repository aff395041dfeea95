"""The scoring pass: tokens a second and MFU, against a bare forward and what people write; by rounds."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu import limits, package
from gpu.measure import Section, mfu, profile, rounded
from gpu.random_model import build, mean_context, rows, write_folder

ROUNDS = 3


def run(section: Section) -> None:
    section.pulse("before")
    model, size = build(section), 512 if section.toy else 16384
    samples = rows(section, 12 if section.toy else 160 if section.model == "7b" else 480)
    section.put("work", {"tokens": int(samples.length_N.sum()), "batches": package.batch_count(samples, size)})
    sides = take_turns(section, model, samples, size)
    section.put("sides", sides)
    section.put("ours_over_bare", round(sides["ours"]["tokens_s"] / sides["bare"]["tokens_s"], 3))
    section.put("layer_ms", round(1e3 * section.seconds(lambda: package.one_token(model)) / section.shape.layers, 4))
    with section.attempt("naive"):
        section.put("naive", naive(section, model, samples))
        section.put("ours_over_naive", round(sides["ours"]["tokens_s"] / section.results["naive"]["tokens_s"], 2))
    with section.attempt("profile"):
        batch = package.longest_batch(samples, size)
        section.put("profile", profile(section, lambda: package.score(model, batch, size)))
    if section.model != "7b":
        with section.attempt("load"):
            section.put("load_gb_s", load(section, model))
    with section.attempt("float32"):
        section.put("float32", in_float32(section, model.float(), package.longest_batch(samples, size // 4), size))
    section.pulse("after")


def take_turns(section: Section, model: Any, samples: Any, size: int) -> dict[str, dict[str, Any]]:
    """Tokens a second of each side; another one begins each round."""
    sides = {
        "body": lambda: package.bare_forward(model, samples, size, with_head=False),
        "bare": lambda: package.bare_forward(model, samples, size, with_head=True),
        "ours": lambda: package.score(model, samples, size),
        "ours_head_only": lambda: package.score_head_only(model, samples, size),
    }
    memory = {name: section.extra_gb(side) for name, side in sides.items()}  # and the warm-up
    taken: dict[str, list[float]] = {name: [] for name in sides}
    names = [*sides]
    for number in range(ROUNDS):
        for name in names[number:] + names[:number]:
            taken[name].append(section.seconds(sides[name], 1, 0))
        if section.seconds_left() < 25 or section.toy:
            break
    return {name: rated(section, samples, name, taken[name]) | {"extra_gb": memory[name]} for name in sides}


def rated(section: Section, samples: Any, name: str, taken: list[float]) -> dict[str, Any]:
    tokens, response = int(samples.length_N.sum()), int(samples.response_N.sum())
    through_head = {"body": 0.0, "bare": 1.0}.get(name, response / tokens)
    limit = limits.scoring(section.shape, mean_context(samples.length_N), through_head, section.card)
    rate = tokens / statistics.median(taken)
    measured = {"tokens_s": rate, "spread": max(taken) / min(taken), "expected": limit.eager, "ideal": limit.ideal}
    measured["operations_a_token"] = limit.operations
    return rounded(measured) | {"mfu": mfu(rate * limit.operations, section.card)}


def naive(section: Section, model: Any, samples: Any) -> dict[str, Any]:
    """Data order, padded, eager, the attentions of all layers, a full log-softmax."""
    first = np.arange(8)

    def forward() -> None:
        for chosen in (first[:4], first[4:]):
            ids_BT, mask_BT = package.padded(samples, chosen, section.device)
            with torch.inference_mode():
                out = model(ids_BT, attention_mask=mask_BT, output_attentions=True, output_hidden_states=True)
                logp_BTV = out.logits.float().log_softmax(-1)
                (logp_BTV.exp() * logp_BTV).sum(-1).cpu(), out.attentions[-1].mean(1).sum(1).cpu()

    model.set_attn_implementation("eager")
    try:
        memory = section.extra_gb(forward)
        taken = section.seconds(forward, 2, 0)
    finally:
        model.set_attn_implementation("sdpa")
    return rounded({"tokens_s": int(samples.length_N[first].sum()) / taken}) | {"extra_gb": memory}


def load(section: Section, model: Any) -> float:
    """GB a second from a file that the page cache holds to the device."""
    with tempfile.TemporaryDirectory() as work:
        folder = write_folder(section.shape, Path(work, "model"))
        model.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        started = time.perf_counter()
        package.load_model(folder, "bfloat16", section.device)
        section.synchronize()
        return round(size / (time.perf_counter() - started) / 1e9, 2)


def in_float32(section: Section, model: Any, samples: Any, size: int) -> dict[str, Any]:
    """One batch: what float32 costs without TF32."""
    taken = section.seconds(lambda: package.score(model, samples, size), 1)
    return rated(section, samples, "ours", [taken])
