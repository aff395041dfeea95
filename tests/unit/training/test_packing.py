"""Packed samples: none sees another, nothing is lost on the way, and the numbers are those of padded batches."""

from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from transformers import Gemma2Config, LlamaConfig, MistralConfig

from prunegrid.models.probes import check_isolated
from prunegrid.selection.examples import Example, build_example
from prunegrid.training.loss import collate, total_nll
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.schedule import pack
from prunegrid.training.trained_model import checkpoint_layers
from support.errors import refused
from support.gradients import LLAMA, SIZES, assert_same, built, gradients

FAMILIES = {
    "grouped": LLAMA,
    "multi-head": LlamaConfig(**SIZES | {"num_key_value_heads": 4}),
    "multi-query": LlamaConfig(**SIZES | {"num_key_value_heads": 1}),
    "tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "window": MistralConfig(**SIZES, sliding_window=4),
}


def samples(removal: str, lengths: tuple[int, ...] = (9, 3, 14, 1, 6), seed: int = 0) -> list[Example]:
    """Prompts of 1 to 4 tokens; about half of each response is pruned, in runs and alone; weights differ."""
    rng, made = np.random.default_rng(seed), []
    for number, length in enumerate(lengths):
        ids = rng.integers(1, 97, 1 + number % 4 + length).tolist()
        kept = [i for i in range(length - 1) if i % 5 in (0, 3)] + [length - 1]
        weight = float(rng.choice([0.25, 1.0, 3.0]))
        made.append(build_example(number, ids[:-length], ids[-length:], kept, weight, removal))
    return made


def hidden(model: Any, rows: list[Example], packed: bool) -> list[torch.Tensor]:
    """Of each sample the final hidden states [T, D] of its own tokens."""
    inputs = collate(rows, packed)
    borders = {"segments": inputs["segments"]} if packed else {}
    names = ("input_ids", "position_ids", "attention_mask")
    with torch.no_grad():
        states_BTD = model.get_decoder()(**{name: inputs[name] for name in names}, **borders).last_hidden_state
    lengths = [len(former.ids) for former in rows]
    return list(states_BTD[0].split(lengths) if packed else [h[:n] for h, n in zip(states_BTD, lengths, strict=True)])


@pytest.mark.parametrize("removal", ["mask", "drop"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_and_padded_passes_have_equal_gradients(family: str, removal: str) -> None:
    rows = samples(removal)
    padded = gradients(built(FAMILIES[family], "sdpa"), [rows[:2], rows[2:]], packed=False)
    packed = built(FAMILIES[family])
    assert_same(gradients(packed, [rows], packed=True), padded)
    assert_same(gradients(packed, pack(rows, 16), packed=True), padded)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    rows = samples("drop")
    plain = gradients(built(), [rows], packed=True)
    repeated = built().train()
    checkpoint_layers(repeated)
    assert_same(gradients(repeated, [rows], packed=True), plain)


@pytest.mark.parametrize("removal", ["mask", "drop"])
def test_packed_attention_is_a_block_diagonal_mask(removal: str) -> None:
    """Reference: the library's eager attention, whose softmax is float32's, under an explicit additive mask."""
    rows = samples(removal)
    inputs = collate(rows, packed=True)
    owner_T = np.repeat(np.arange(len(rows)), [len(former.ids) for former in rows])
    seen_TT = torch.from_numpy(np.tril(owner_T[:, None] == owner_T))
    mask = torch.zeros(1, 1, *seen_TT.shape, dtype=torch.float64).masked_fill(~seen_TT, torch.finfo(torch.float64).min)
    with torch.no_grad():
        expected = built(attention="eager").get_decoder()(
            input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], attention_mask=mask
        )
    actual = torch.cat(hidden(built(), rows, packed=True))
    torch.testing.assert_close(actual, expected.last_hidden_state[0], rtol=0, atol=5e-6)


@pytest.mark.parametrize("packed", [True, False])
def test_a_sample_does_not_notice_its_neighbours(packed: bool) -> None:
    model, rows = built(attention=PACKED if packed else "sdpa"), samples("drop")
    others = [
        former if number == 2 else former._replace(ids=[96 - i for i in former.ids])
        for number, former in enumerate(rows)
    ]
    before, after = hidden(model, rows, packed), hidden(model, others, packed)
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1]), "the neighbours did change"
    (alone,) = hidden(model, rows[2:3], packed)
    torch.testing.assert_close(before[2], alone, rtol=1e-9, atol=1e-9)


def packed_around(middle: Example, removal: str) -> list[Example]:
    first, *_, last = samples(removal)
    return [first, middle, last]


@pytest.mark.parametrize("packed", [True, False])
def test_dropped_tokens_influence_nothing(packed: bool) -> None:
    """A gap in the position ids must not be taken for the border between packed samples."""
    model = built(attention=PACKED if packed else "sdpa")

    def states(prompt: list[int], response: list[int]) -> torch.Tensor:
        rows = packed_around(build_example(9, prompt, response, [0, 3], 1.0, "drop"), "drop")
        assert rows[1].positions == [0, 1, 2, 5], "survivors keep their places"
        return hidden(model, rows, packed)[1]

    actual = states([5, 6], [10, 11, 12, 13])
    assert torch.equal(actual, states([5, 6], [10, 90, 91, 13]))
    assert not torch.allclose(actual[3], states([7, 6], [10, 11, 12, 13])[3]), "the prompt reaches behind the gap"
    closed = build_example(9, [5, 6], [10, 13], None, 1.0, "mask")
    assert not torch.allclose(actual[3], hidden(model, packed_around(closed, "drop"), packed)[1][3]), (
        "the gap is a distance"
    )


@pytest.mark.parametrize("packed", [True, False])
def test_masked_tokens_are_context_but_not_loss(packed: bool) -> None:
    model = built(attention=PACKED if packed else "sdpa")

    def loss(response: list[int], kept: list[int]) -> float:
        rows = packed_around(build_example(9, [5, 6], response, kept, 1.0, "mask"), "mask")
        return float(total_nll(model, collate(rows, packed)).detach())

    assert loss([10, 11, 12, 13], [0, 3]) != loss([10, 11, 90, 13], [0, 3]), "what is masked is still read"
    assert loss([10, 11, 12, 13], [0]) == loss([10, 90, 91, 92], [0]), "nothing is asked of what is masked"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("removal", ["mask", "drop"])
def test_every_kept_token_is_a_target_and_no_other(removal: str, packed: bool) -> None:
    """Each target's sample and place in the response are read off the tensors, and compared with what was kept."""
    rng = np.random.default_rng(1)
    rows, kept_of, prompts = [], {}, {}
    for number in range(6):
        length = int(rng.integers(1, 12))
        kept = sorted(rng.choice(length, int(rng.integers(1, length + 1)), replace=False).tolist())
        ids = (100 * number + np.arange(3 + length)).tolist()  # an id tells its sample and its place
        kept_of[number], prompts[number] = kept, 3
        rows.append(build_example(number, ids[:3], ids[3:], kept, 1.0 + number, removal))
    inputs = collate(rows, packed)
    ids, places = inputs["input_ids"].flatten(), inputs["position_ids"].flatten()
    actual: dict[int, list[int]] = {}
    for before, target, weight in zip(inputs["before_R"], inputs["target_R"], inputs["weight_R"], strict=True):
        number = int(target) // 100
        assert ids[before + 1] == target and int(ids[before]) // 100 == number, "predicted from the token before it"
        assert places[before + 1] == target % 100 and weight == 1.0 + number
        actual.setdefault(number, []).append(int(target) % 100 - 3)
    assert actual == kept_of


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@hypothesis.settings(max_examples=300, deadline=None, database=None, derandomize=True)
@hypothesis.given(LENGTHS, st.integers(1, 64))
def test_pack_keeps_every_sample_once_within_the_budget(lengths: list[int], budget: int) -> None:
    rows = [build_example(n, [0], [1] * (length - 1), None, 1.0, "mask") for n, length in enumerate(lengths)]
    passes = pack(rows, budget)
    assert sorted(former.sample_id for part in passes for former in part) == list(range(len(lengths)))
    sizes = [sum(len(former.ids) for former in part) for part in passes]
    for part, size in zip(passes, sizes, strict=True):
        assert size <= budget or len(part) == 1, "only a sample longer than the budget goes over it, alone"
    assert len(sizes) == 1 or sum(sorted(sizes)[:2]) > budget, "two passes that fit into one are one"


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_keep_to_the_borders_are_taken(family: str) -> None:
    check_isolated(built(FAMILIES[family]))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_model_that_ignores_the_borders_is_refused(attention: str) -> None:
    with refused("llama", "a packed sample sees the one before it", fix="packing: false"):
        check_isolated(built(attention=attention))


def test_layers_without_the_attention_interface_are_refused() -> None:
    """As code from outside the library may: it gets no mask, and so sees all that is before it."""
    model = built()
    model.get_decoder().layers[1].self_attn.config = LlamaConfig(**SIZES, attn_implementation="sdpa")
    with refused("llama", "a packed sample sees the one before it", fix="packing: false"):
        check_isolated(model)


def test_attention_of_another_form_is_refused() -> None:
    config = Gemma2Config(**SIZES, head_dim=8, attn_logit_softcapping=5.0)
    with refused("Gemma2Attention", "softcap", fix="training.packing: false"):
        check_isolated(built(config))
