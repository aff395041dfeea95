"""Options against lm-eval's own wrapper and against one forward an option; what a pass may hold."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from prunegrid.evaluation import language_model  # noqa: E402
from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from prunegrid.tasks.task import WHOLE_STRING  # noqa: E402
from support.errors import refused  # noqa: E402
from support.tiny_models import KINDS, LONG, forward_nll, options, tiny, tokenizer  # noqa: E402


@pytest.mark.parametrize("budget", [1, 90, 8192])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_options_equal_those_of_stock(kind: str, bos: bool, budget: int) -> None:
    """Log-probabilities and greediness in the requests' order, prompts that are cut and empty ones included."""
    model, words = tiny(kind), tokenizer(bos)
    ours = LanguageModel(model, words, budget)
    stock = HFLM(
        pretrained=model, tokenizer=words, backend="causal", batch_size=4, softmax_dtype="float32", max_length=256
    )
    ours._max_length = 256  # Bloom's configuration does not say
    actual = ours.loglikelihood(options(), disable_tqdm=True)
    expected = stock.loglikelihood(options(), disable_tqdm=True)
    assert [value for value, _ in actual] == pytest.approx([value for value, _ in expected], abs=1e-4, rel=1e-5)
    assert [greedy for _, greedy in actual] == [greedy for _, greedy in expected]


def test_greedy_options_are_marked() -> None:
    """The two likeliest tokens in turn: only the first is what greedy decoding gives."""
    model, words = tiny("llama"), tokenizer(False)
    prompt = "Question: What"
    with torch.no_grad():
        best = model(torch.tensor([words.encode(prompt)])).logits[0, -1].topk(2).indices.tolist()
    pairs = [(("p", "o"), words.encode(prompt), [token]) for token in best]
    first, second = LanguageModel(model, words, 8192)._loglikelihood_tokens(pairs)
    assert (first[1], second[1]) == (True, False) and first[0] > second[0]


@pytest.mark.parametrize("budget", [1, 8192])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_whole_strings_against_a_loop(kind: str, bos: bool, budget: int) -> None:
    """All tokens but the first are predicted, all are counted, as in OpenCompass; the last 256 of a long one."""
    model, words = tiny(kind), tokenizer(bos)
    texts = options(kind="nll_per_token")
    ids = [words.encode("".join(request.args))[-256:] for request in texts]
    assert max(map(len, ids)) == 256 and all((row[0] == 1) == (bos and len(row) < 256) for row in ids)
    expected = [forward_nll(model, row, 1)[0] / len(row) for row in ids]
    assert LanguageModel(model, words, budget).nll_per_token(texts) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("bos", [False, True])
def test_nll_per_prediction_leaves_the_first_token_out_of_the_divisor(bos: bool) -> None:
    """With a BOS the divisor is the number of the text's tokens; without one, one fewer: nothing stands in for it."""
    model, words = tiny("llama"), tokenizer(bos)
    texts = [request for request in options(kind="nll_per_prediction") if not request.args[0].startswith(LONG)]
    lm = LanguageModel(model, words, 8192)
    expected = []
    for request in texts:
        ids = words.encode("".join(request.args))
        own = len(words.encode("".join(request.args), add_special_tokens=False))
        expected.append(forward_nll(model, ids, 1)[0] / (own if bos else own - 1))
    assert lm.nll_per_prediction(texts) == pytest.approx(expected, abs=1e-5)


def test_two_divisors_choose_another_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums 10.0 over 5 tokens and 12.1 over 6: 2 and 2.0167 by all tokens, 2.5 and 2.42 by those that are predicted."""
    from prunegrid.evaluation import harness

    lm = LanguageModel(tiny("llama"), tokenizer(True), 8192)
    unit = next(text for text in "zqxk" if len(lm.tok_encode(text * 5)) == 6)
    sums = {5: 10.0, 6: 12.1}
    monkeypatch.setattr(
        lm, "_score", lambda strings, *_: (np.array([sums[len(string.ids)] for string in strings]), np.zeros(2))
    )
    item = {"q": unit, "texts": [unit * 3, unit * 4], "gold": 1}
    answers = {}
    for scored_by in WHOLE_STRING:
        task = TASK | {"target_delimiter": "", "metadata": {"version": 1, "scored_by": scored_by}}
        (sample,) = harness.run(lm, "flip", task, [item], seed=0)["samples"]
        answers[scored_by] = (sample["filtered_resps"], sample["acc"])
    assert answers["nll_per_token"] == (pytest.approx([2.0, 12.1 / 6]), 0)
    assert answers["nll_per_prediction"] == (pytest.approx([2.5, 2.42]), 1)


def test_nll_per_token_of_one_argument_or_two() -> None:
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    parts = [("Cats ", "drink milk"), ("Cats drink milk",)]
    former, latter = lm.nll_per_token([Instance("nll_per_token", {}, args, 0, ("t", 0, 1)) for args in parts])
    assert former == latter


def test_an_option_that_cannot_be_scored_is_refused() -> None:
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    with refused("option ('Cats', '')", "no token to score"):
        lm.loglikelihood(options([("Cats", [""])]), disable_tqdm=True)
    with refused(f"option {('Cats', LONG)!r}", "context of 256"):
        lm.loglikelihood(options([("Cats", [LONG])]), disable_tqdm=True)


def sizes(model: Any, budget: int, texts: list[Instance]) -> list[tuple[int, int]]:
    """(rows, padded tokens a row) of the decoder's calls; those that try the model are left out."""
    seen: list[tuple[int, int]] = []
    lm = LanguageModel(model, tokenizer(False), budget)
    lm.row_limit.verify(lm.row_limit.tokens)
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    lm.loglikelihood(texts, disable_tqdm=True)
    hook.remove()
    return seen


def test_passes_stay_within_the_budget() -> None:
    model = tiny("llama")
    for budget in (1, 60, 300, 8192):
        seen = sizes(model, budget, options())
        assert all(rows * length <= budget or rows == 1 for rows, length in seen), budget
    rows = len(sizes(model, 1, options()))
    assert rows == len(options()) - 1, "one token of prompt and one of option: both of these read the prompt only"


@pytest.mark.parametrize("kind", ["gemma2", "llama4"])
def test_passes_with_all_logits_are_smaller(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """90 tokens' logits, or one row's, a pass; 7 of them at once are compared. The values are those of one pass."""
    model = tiny(kind)
    whole = LanguageModel(model, tokenizer(False), 8192).loglikelihood(options(), disable_tqdm=True)
    monkeypatch.setattr(language_model, "PASS_LOGITS", {"cpu": 90 * 300 + 299})
    monkeypatch.setattr(language_model, "CHUNK_LOGITS", {"cpu": 7 * 300})
    lm = LanguageModel(model, tokenizer(False), 8192)
    shapes, chunks = [], []
    compare = language_model._nll_and_miss
    monkeypatch.setattr(
        language_model, "_nll_and_miss", lambda z_CV, to_C: chunks.append(len(z_CV)) or compare(z_CV, to_C)
    )
    model.register_forward_hook(lambda _, args, given: shapes.append(tuple(given.logits.shape)))
    actual = lm.loglikelihood(options(), disable_tqdm=True)
    assert all(rows * tokens <= 90 or rows == 1 for rows, tokens, _ in shapes) and max(shapes)[0] > 1
    assert max(chunks) == 7
    for (value, greedy), (expected, also) in zip(actual, whole, strict=True):
        assert value == pytest.approx(expected, abs=1e-4, rel=1e-5) and greedy == also


def test_a_prefix_is_computed_once() -> None:
    """Four options of 3 tokens after 20 each: 20 + 4 x 2 inputs, not 4 x 22."""
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    lm.row_limit.verify(256)
    context = list(range(2, 22))
    seen: list[Any] = []
    lm.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    lm._loglikelihood_tokens([(("", ""), context, [30 + k, 40, 50]) for k in range(4)])
    assert seen[0].tolist() == [[*context, 30, 40, 31, 40, 32, 40, 33, 40]]
    assert len(seen) == 1


TASK: dict[str, Any] = {
    "output_type": "multiple_choice",
    "test_split": "test",
    "num_fewshot": 0,
    "doc_to_text": "{{q}}",
    "doc_to_choice": "{{texts}}",
    "doc_to_target": "{{gold}}",
    "target_delimiter": " ",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1, "scored_by": "nll_per_token"},
}


def docs(*golds: int) -> list[dict[str, Any]]:
    return [{"q": f"Is it {n}?", "texts": ["yes", "no", "so"], "gold": gold} for n, gold in enumerate(golds)]


def test_the_lowest_value_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equals the first; strings are prompt, delimiter and option; samples are logged as for any task."""
    from prunegrid.evaluation import harness

    texts: list[str] = []

    def values(self: Any, requests: list[Any], **_: Any) -> list[float]:
        texts.extend("".join(request.args) for request in requests)
        return [3.0, 1.0, 2.0, 0.5, 0.5, 0.7, 2.0, 9.0, 1.0]

    monkeypatch.setattr(LanguageModel, "nll_per_token", values)
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    run = harness.run(lm, "whole", TASK, docs(1, 1, 2), seed=0)
    assert texts[:4] == ["Is it 0? yes", "Is it 0? no", "Is it 0? so", "Is it 1? yes"]
    assert [sample["acc"] for sample in run["samples"]] == [1, 0, 1]
    assert run["metrics"]["acc,none"] == pytest.approx(2 / 3)
    assert run["samples"][0]["filtered_resps"] == [3.0, 1.0, 2.0]
    assert {"doc_id", "doc_hash", "prompt_hash", "target_hash", "filter"} <= run["samples"][0].keys()


def test_both_scorings_of_one_task_against_a_loop() -> None:
    """harness and whole-string scoring of the same items, in one pass and option by option."""
    from prunegrid.evaluation import harness

    model, words = tiny("llama"), tokenizer(False)
    lm = LanguageModel(model, words, 8192)
    items = docs(*(n % 3 for n in range(9)))
    for metadata, per_token in (({"version": 1}, False), (TASK["metadata"], True)):
        run = harness.run(lm, "both", TASK | {"metadata": metadata}, items, seed=0)
        expected = []
        for item in items:
            nlls = []
            for text in item["texts"]:
                ids = words.encode(f"{item['q']} {text}")
                start = 1 if per_token else len(words.encode(item["q"]))
                nlls.append(forward_nll(model, ids, start)[0] / (len(ids) if per_token else 1))
            expected.append(float(nlls.index(min(nlls)) == item["gold"]))
        assert [sample["acc"] for sample in run["samples"]] == expected
        assert len(set(expected)) == 2


def test_truncated_items_are_counted() -> None:
    """255 + 1 tokens fit either way; 256 + 1 only where the last one is not read."""
    from prunegrid.evaluation import harness

    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    unit = next(text for text in "zqxk" if len(lm.tok_encode(text * 50)) == 50)
    items = [{"q": unit * count, "texts": [unit, unit], "gold": 0} for count in (254, 255, 256, 257)]
    assert [len(lm.tok_encode(item["q"])) for item in items] == [254, 255, 256, 257]
    task = TASK | {"target_delimiter": ""}
    assert harness.run(lm, "whole", task, items, seed=0)["n_truncated"] == 2
    assert harness.run(lm, "last", task | {"metadata": {"version": 1}}, items, seed=0)["n_truncated"] == 1
