"""Shared rows worked by hand, and the models that can have them."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from prunegrid.evaluation.shared_prefix import OptionBatch, OptionRow, RowLimit, ScoredString, option_rows, tree_mask  # noqa: E402
from prunegrid.models import architecture  # noqa: E402
from support.tiny_models import tiny  # noqa: E402


def test_option_batch_by_hand() -> None:
    strings = [ScoredString([1, 2, 3, 4, 9], 2), ScoredString([1, 2, 5, 6, 8], 3), ScoredString([1, 2, 3], 2)]
    rows = option_rows(strings[:2], ["q", "q"], limit=6)
    assert rows == [OptionRow([0, 1], 2, 6)]
    batch = OptionBatch(strings, rows)
    assert batch.ids_BT.tolist() == [[1, 2, 3, 4, 5, 6]]
    assert batch.position_BT.tolist() == [[0, 1, 2, 3, 2, 3]]
    assert batch.part_BT.tolist() == [[0, 0, 1, 1, 2, 2]]
    assert batch.place_R.tolist() == [1, 2, 3, 4, 5]
    assert batch.target_R.tolist() == [3, 4, 9, 6, 8]
    assert batch.owner_R.tolist() == [0, 0, 0, 1, 1]
    assert (tree_mask(torch.from_numpy(batch.part_BT), torch.float32)[0, 0] == 0).int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 1],
    ]
    assert batch.totals(torch.tensor([1.0, 2, 4, 8, 16]).numpy(), 3).tolist() == [7, 24, 0]


def test_option_batch_of_nested_options_by_hand() -> None:
    """Inputs [1, 2, 3], [1, 2], [1, 2]: the row is the first string's; 3 after [1, 2] is scored once for two."""
    strings = [ScoredString([1, 2, 3, 4], 2), ScoredString([1, 2, 3], 2), ScoredString([1, 2, 5], 2)]
    batch = OptionBatch(strings, option_rows(strings, "qqq", limit=9))
    assert batch.ids_BT.tolist() == [[1, 2, 3]] and batch.part_BT.tolist() == [[0, 0, 1]]
    assert (batch.place_R.tolist(), batch.target_R.tolist()) == ([1, 2, 1, 1], [3, 4, 3, 5])
    first_P, which_R = batch.distinct
    assert len(first_P) == 3 and which_R[0] == which_R[2]


def test_option_rows_members() -> None:
    def string(*ids: int) -> ScoredString:
        return ScoredString([*ids, 0], 1)

    same = [string(1, 2, 3, 4 + k) for k in range(6)]
    members = [row.members for row in option_rows(same, "qqqqqq", limit=99)]
    assert members == [[0, 1, 2, 3, 4], [5]], "3 + 5 is twice 4"
    assert [row.members for row in option_rows(same, "qqqqqq", limit=5)] == [[0, 1], [2, 3], [4, 5]]
    assert all(len(row.members) == 1 for row in option_rows(same, "qqqqqq", limit=0))
    assert [row.members for row in option_rows(same[:4], "qppq", limit=99)] == [[0], [1, 2], [3]]


def verified(model: Any, max_tokens: int = 256) -> int:
    return RowLimit(model, max_tokens).verify(max_tokens)


SHARE = [("llama", 256), ("mistral", 40), ("gemma2", 40), ("gpt2", 256), ("gpt_neo", 40)]


@pytest.mark.parametrize(("kind", "tokens"), SHARE)
def test_row_limit_of_models_that_share(kind: str, tokens: int) -> None:
    assert verified(tiny(kind)) == tokens


@pytest.mark.parametrize(
    ("kind", "dtype"), [("mistral", torch.float32), ("mistral", torch.bfloat16), ("gpt_neo", torch.float32)]
)
def test_row_limit_finds_an_unnamed_window(kind: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 tokens: a row of 32 comes out as alone, one of 64 does not. A window by tokens, and one by places."""
    monkeypatch.setattr(architecture, "WINDOW_KEYS", ())
    assert RowLimit(tiny(kind), 256).tokens == 256
    assert verified(tiny(kind).to(dtype)) == 32


def test_row_limit_tries_no_longer_rows_than_needed() -> None:
    model, tried = tiny("llama"), []
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: tried.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    limit = RowLimit(model, 100)
    assert (limit.verify(0), tried) == (100, [])
    assert (limit.verify(33), tried) == (100, [12, 16, 60, 64])
    limit.verify(64)
    limit.verify(65)
    assert tried[4:] == [96, 100]


def test_row_limit_of_models_that_do_not_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALiBi takes positions from the mask; Llama 4 has no decoder apart; one that drops a mask is found out."""
    assert RowLimit(tiny("bloom"), 256).tokens == RowLimit(tiny("llama4"), 256).tokens == 0
    model = tiny("llama")
    decoder = model.get_decoder()
    forward = decoder.forward

    def ignore_mask(input_ids: Any = None, attention_mask: Any = None, position_ids: Any = None, **others: Any) -> Any:
        return forward(input_ids=input_ids, position_ids=position_ids, **others)

    monkeypatch.setattr(decoder, "forward", ignore_mask)
    assert verified(model) == 0
