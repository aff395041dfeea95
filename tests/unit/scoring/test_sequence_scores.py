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
from prunegrid.models.attention_capture import AttentionInputs
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.score import score
from prunegrid.scoring.sequence_scores import layer_scores
from support.errors import refused
from support.tiny_architectures import MODELS, write_model

SETTINGS = Scoring(max_length=60, batch_tokens=200)
NAMES = ("sequence_entropy", "fastv_rank", "prompt_attention", "sparsevlm_kept")


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
    ahead, specials = [], 0
    for place in range(start, len(ids)):
        special_before, specials = specials, specials + (ids[place] in special)
        more = sum(received[other] > received[place] for other in candidates)
        ahead.append(len(candidates) + special_before if ids[place] in special else more)
    return {
        "sequence_entropy": float(-(logp_TV.exp() * logp_TV).sum(-1)[:-1].mean()),
        "fastv_rank": ahead,
        "prompt_attention": [weights_TT[place, :start].sum().item() for place in range(start, len(ids))],
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


@pytest.mark.parametrize("name", NAMES)
def test_the_composition_of_batches_changes_nothing(name: str, tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    values = []
    for size in (8, 300, 100_000):
        settings = SETTINGS.model_copy(update={"batch_tokens": size})
        made = written(name, scores, tiny_model, tmp_path / str(size), settings)
        values.append(np.hstack(made))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)
    np.testing.assert_allclose(values[0], values[2], rtol=1e-5)


def test_bfloat16_models_are_scored(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    entropies = {}
    for dtype in ("float32", "bfloat16"):
        settings = SETTINGS.model_copy(update={"dtype": dtype})
        score(tiny_model, dataset, tmp_path / dtype, settings)
        made = {name: written(name, tmp_path / dtype, tiny_model, tmp_path / dtype, settings) for name in NAMES}
        entropies[dtype] = made["sequence_entropy"]
        assert {value for values in made["sparsevlm_kept"] for value in values} == {0.0, 1.0}
        assert all(len(set(ranks)) == len(ranks) for ranks in made["fastv_rank"]), "no two tokens share a rank"
    np.testing.assert_allclose(entropies["float32"], entropies["bfloat16"], rtol=0.02)


@pytest.mark.parametrize("name", ["fastv_rank", "sparsevlm_kept"])
def test_models_without_attention_scores_are_refused(
    name: str, tiny_model: Path, dataset: Path, tmp_path: Path
) -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
    folder = write_model(tmp_path / "gpt2", tiny_model, **gpt2)
    score(folder, dataset, tmp_path / "scores", SETTINGS)
    with refused(folder, name, "model type gpt2", fix="leave it out"):
        written(name, tmp_path / "scores", folder, tmp_path)
    assert np.isfinite(written("sequence_entropy", tmp_path / "scores", folder, tmp_path)).all()


def test_sparsevlm_keeps_the_lowest_scored_as_many_as_the_rank_leaves() -> None:
    """Four positions whose attention matrix has rank 2, of one-dimensional hidden states: 4 - 1 - 2 = 1 is kept."""
    one, half = torch.tensor([20.0, 0.0]), torch.tensor([0.0, 0.0])
    # Position 0 sees itself. 1 and 2 look at 0 alone, as 0 does (the same row of the matrix). 3 looks at all alike.
    query_BHTD = torch.stack([one, one, one, half])[None, None]
    key_BGTD = torch.tensor([[20.0, 0.0], [-20.0, 0.0], [-20.0, 0.0], [-20.0, 0.0]])[None, None]
    layer = AttentionInputs(query_BHTD, key_BGTD, None, 1.0, None, [])
    hidden_BTD = torch.tensor([[[1.0], [1.0], [1.0], [-1.0]]])
    batch = Batch(torch.tensor([[5, 6, 7, 8]]), *(torch.tensor(x) for x in ([1], [4], [0, 0, 0], [1, 2, 3])), 1, 3)
    # Rows: (1,0,0,0) three times, (.25,.25,.25,.25). Received: (3.25, .25, .25, .25) / 4. Cosines: .5, .5, .5, -.5.
    # Scores: .40625 - .25 = .15625; .03125 - .25 twice; .03125 + .25. The lowest are positions 1 and 2: 1 is earlier.
    rank, kept = layer_scores(("fastv_rank", "sparsevlm_kept"), layer, batch, hidden_BTD, torch.tensor([6]))
    assert kept.tolist() == [1, 0, 0]
    assert rank.tolist() == [3, 1, 2], "of 0, 2 and 3 most is paid to 0; 2 and 3 are equal; 1 is special: the last"
