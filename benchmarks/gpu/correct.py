"""Correctness: packed is padded, scores are float64's, and what bf16 and the batches do to scores and selections."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu import package
from gpu.measure import Section, rounded
from gpu.random_model import MAX_LENGTH, build, build_peaked, rows
from gpu.selections import METHODS, differing, kept

TOLERANCE = (1e-5, 1e-4)  # absolute and relative: docs/explanation/scoring.md's of float32


def run(section: Section) -> None:
    for dtype in (torch.bfloat16, torch.float32):
        for removal in ("mask", "drop"):
            name = f"packed_{str(dtype).removeprefix('torch.')}_{removal}"
            with section.attempt(name):
                section.put(name, packed_and_padded(section, dtype, removal))
    with section.attempt("scores"):
        scores_and_selections(section)


def packed_and_padded(section: Section, dtype: torch.dtype, removal: str) -> dict[str, float]:
    """Relative distance of the losses, and of the gradients of the embeddings by their norms."""
    model = build(section, package.PACKED, dtype).requires_grad_(False)
    weight = model.get_input_embeddings().weight.requires_grad_()
    some = package.examples(rows(section, 12), removal)
    losses, gradients = [], []
    for attention, packed in ((package.PACKED, True), ("sdpa", False)):
        model.set_attn_implementation(attention)
        parts = [some] if packed else [some[i : i + 2] for i in range(0, len(some), 2)]
        weight.grad, total = None, 0.0
        for part in parts:
            loss = package.loss(model, part, packed)
            loss.backward()
            total += float(loss)
        losses.append(total)
        gradients.append(weight.grad.float().clone())
    distance = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    return rounded({"loss_apart": abs(losses[0] - losses[1]) / abs(losses[1]), "gradient_apart": distance})


def scores_and_selections(section: Section) -> None:
    """Of the same weights and samples: float32, bf16, and bf16 with a sample a batch."""
    samples, size = rows(section, 24 if section.toy else 160), 512 if section.toy else 16384
    model = build_peaked(section)
    scores = {"bf16": package.score(model, samples, size), "bf16_alone": package.score(model, samples, 8)}
    scores["float32"] = package.score(model.float(), samples, size)
    for one, other in (("bf16", "float32"), ("bf16", "bf16_alone")):
        section.put(f"scores_{one}_from_{other}", distances(scores[one], scores[other]))
    with tempfile.TemporaryDirectory() as work:
        chosen = {name: selections(Path(work, name), samples, values) for name, values in scores.items()}
    for one, other in (("bf16", "float32"), ("bf16", "bf16_alone")):
        shares = {method: differing(chosen[one][method], chosen[other][method]) for method in METHODS}
        section.put(f"selections_differing_{one}_from_{other}", shares)
    section.put("float32_from_float64", from_float64(section, model, samples, scores["float32"]))


def selections(folder: Path, samples: Any, values: package.Values) -> dict[str, dict[int, set[int]]]:
    scores = package.store_scores(folder, samples, values, MAX_LENGTH)
    return {method: kept(scores, folder / method, method) for method in METHODS}


def distances(one: package.Values, other: package.Values) -> dict[str, list[float]]:
    """Of each score the median, the 99th percentile and the largest distance."""
    return {
        name: [float(f"{q:.3g}") for q in np.quantile(np.abs(one[name] - other[name]), (0.5, 0.99, 1.0))]
        for name in other
    }


def from_float64(section: Section, model: Any, samples: Any, values: package.Values) -> dict[str, float]:
    """The worst distance from an eager float64 forward of four short samples; 1 is the tolerance of
    docs/explanation/scoring.md."""
    short = [i for i in np.argsort(samples.length_N) if samples.length_N[i] >= (8 if section.toy else 100)][:4]
    exact = model.double()
    exact.set_attn_implementation("eager")
    worst = dict.fromkeys(values, 0.0)
    for i in short:
        ids_T, prompt, place = package.of_sample(samples, i)
        for name, expected in reference(exact, torch.from_numpy(ids_T).to(section.device)[None], prompt).items():
            expected_R = expected.cpu().numpy()
            gap_R = np.abs(values[name][place] - expected_R) / (TOLERANCE[0] + TOLERANCE[1] * np.abs(expected_R))
            worst[name] = max(worst[name], float(gap_R.max()))
    return rounded(worst)


def reference(model: Any, ids_1T: torch.Tensor, prompt: int) -> dict[str, torch.Tensor]:
    """The four scores of one sample's response, from all attentions and all logits."""
    with torch.no_grad():
        out = model(ids_1T, output_attentions=True, output_hidden_states=True, use_cache=False)
    logp_TV, weights_TT = out.logits[0].log_softmax(-1), out.attentions[-1][0].mean(0)
    unit_TD = torch.nn.functional.normalize(out.hidden_states[-1][0], dim=-1)
    near_P = (unit_TD[:prompt] @ unit_TD[prompt:].T).mean(1)
    rater_P = near_P >= torch.minimum(near_P.mean(), near_P.max())
    received_T = weights_TT.sum(0) / torch.arange(len(weights_TT), 0, -1, device=ids_1T.device)
    return {
        "nll": -logp_TV[prompt - 1 : -1].gather(1, ids_1T[0, prompt:, None])[:, 0],
        "entropy": -(logp_TV.exp() * logp_TV).sum(-1)[prompt - 1 : -1],
        "fastv": received_T[prompt:],
        "sparsevlm": weights_TT[prompt:, :prompt][:, rater_P].mean(1),
    }
