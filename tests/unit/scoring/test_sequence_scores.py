"""Optional scores of whole sequences against a plain reference: eager attention, full logits, float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.experiment.training import Scoring
from prunegrid.models import load_tokenizer
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.score import score
from support.tiny_architectures import MODELS, write_model

SETTINGS = Scoring(max_length=60, batch_tokens=200)
NAMES = ("sequence_entropy", "fastv_rank", "sparsevlm_kept")


def naive(model: Any, prompt: list[int], response: list[int], special: list[int]) -> dict[str, Any]:
    """One sample alone, with plain loops over its positions."""
    ids, start = prompt + response, len(prompt)
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    logp_TV, weights_TT, hidden_TD = (
        out.logits[0].log_softmax(-1),
        out.attentions[-1][0].mean(0),
        out.hidden_states[-1][0],
    )
    received = [weights_TT[:, place].mean().item() for place in range(len(ids))]
    candidates = [place for place, token in enumerate(ids) if token not in special]
    cosine = torch.nn.functional.cosine_similarity(hidden_TD[:, None], hidden_TD[None], dim=-1).mean(1)
    scores = [received[place] / 2 - cosine[place].item() / 2 for place in range(len(ids))]
    rank = int(torch.linalg.matrix_rank(weights_TT.float()))
    number = max(1, min(len(ids) - 1 - rank, len(candidates) - 1))
    kept = sorted(range(len(ids)), key=lambda place: scores[place])[:number]
    ahead = [sum(received[other] > received[place] for other in candidates) for place in range(start, len(ids))]
    return {
        "sequence_entropy": float(-(logp_TV.exp() * logp_TV).sum(-1)[:-1].mean()),
        "fastv_rank": ahead,
        "sparsevlm_kept": [float(place in kept) for place in range(start, len(ids))],
    }


def written(name: str, scores: Path, model: Path, out: Path, settings: Scoring = SETTINGS) -> list[Any]:
    write_extra(name, scores, model, out / f"{name}.parquet", settings)
    values: list[Any] = pq.read_table(out / f"{name}.parquet")[name].to_pylist()
    return values


@pytest.mark.parametrize("architecture", MODELS)
def test_whole_sequence_scores_equal_a_plain_forward(
    architecture: str, tiny_model: Path, dataset: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", tiny_model, **MODELS[architecture])
    score(folder, dataset, tmp_path / "scores", SETTINGS)
    made = {name: written(name, tmp_path / "scores", folder, tmp_path) for name in NAMES}
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    special = load_tokenizer(folder).all_special_ids
    rows = pq.read_table(tmp_path / "scores" / "tokens.parquet").to_pylist()
    assert any(row["response_ids"][-1] in special for row in rows)
    kept = 0.0
    for number, row in enumerate(rows):
        expected = naive(model, row["prompt_ids"], row["response_ids"], special)
        for name in NAMES:
            np.testing.assert_allclose(made[name][number], expected[name], rtol=1e-4, err_msg=f"{name} of {number}")
        kept += sum(expected["sparsevlm_kept"])
    assert kept, "not every value is 0"
