"""Options and answers against lm-eval's own wrapper and against one forward an option; shared rows worked by hand."""

from typing import Any

import pytest

from prunegrid.errors import PrunegridError

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from prunegrid.evaluation.shared import Batch, Row, Scored, longest_row, shared_rows, tree_mask  # noqa: E402

LONG = "Cats drink milk, and fish live in water. " * 40
QUESTIONS = [
    ("Question: What do cats drink?\nAnswer:", [" milk", " milk, and fish", " m", " red sand", " milk"]),
    ("Question: 2 + 3 =", [" 5", " 6", "5"]),
    ("", ["Cats drink", "Fish", "2 + 3 = 5"]),
    ("x", [" live in water", " drink", ","]),
    ("Question: Where do the fish live?\nAnswer: in ", ["water", "iron"]),
    (LONG, [" milk", " fish live in water"]),
]
KINDS = ["llama", "mistral", "gemma2", "gpt2", "bloom"]


def tokenizer(bos: bool) -> Any:
    """Byte-level BPE; with `bos` it puts one before every text, as Llama 2 and Mistral do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from tiny import TEXT

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<eos>", "<bos>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(TEXT, trainer)
    if bos:
        bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    names = {"eos_token": "<eos>", "pad_token": "<eos>", **({"bos_token": "<bos>"} if bos else {})}
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **names)


def tiny(kind: str) -> Any:
    """Two layers of random weights, context 256; Mistral and Gemma 2 see 40 tokens back."""
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    common = {"vocab_size": 300, "initializer_range": 0.3, "eos_token_id": 0, "bos_token_id": 1, "pad_token_id": 0}
    grouped = {**sizes, "num_key_value_heads": 2, "max_position_embeddings": 256, "head_dim": 8}
    configs: dict[str, Any] = {
        "llama": lambda: transformers.LlamaConfig(**common, **grouped),
        "mistral": lambda: transformers.MistralConfig(**common, **grouped, sliding_window=40),
        "gemma2": lambda: transformers.Gemma2Config(
            **common, **grouped, sliding_window=40, final_logit_softcapping=2.0, query_pre_attn_scalar=8
        ),
        "gpt2": lambda: transformers.GPT2Config(**common, n_embd=32, n_layer=2, n_head=4, n_positions=256),
        "bloom": lambda: transformers.BloomConfig(**common, hidden_size=32, n_layer=2, n_head=4, seq_length=256),
    }
    return transformers.AutoModelForCausalLM.from_config(configs[kind]()).eval()


def options(questions: list[tuple[str, list[str]]] = QUESTIONS, kind: str = "loglikelihood") -> list[Instance]:
    return [
        Instance(kind, {}, (prompt, option), place, ("task", doc_id, 1))
        for doc_id, (prompt, texts) in enumerate(questions)
        for place, option in enumerate(texts)
    ]


def alone(model: Any, ids: list[int], start: int) -> tuple[float, bool]:
    """NLL of ids[start:] in nats, summed in float64, and whether each is the likeliest: one forward."""
    with torch.no_grad():
        logp_TV = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)[start - 1 :]
    targets = torch.tensor(ids[start:])
    return -float(logp_TV.gather(1, targets[:, None]).sum()), bool((logp_TV.argmax(-1) == targets).all())


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
    found = ours.loglikelihood(options(), disable_tqdm=True)
    expected = stock.loglikelihood(options(), disable_tqdm=True)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4, rel=1e-5)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


def test_greedy_options_are_told() -> None:
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
    asked = options(kind="nll_per_token")
    ids = [words.encode("".join(request.args))[-256:] for request in asked]
    assert max(map(len, ids)) == 256 and all((row[0] == 1) == (bos and len(row) < 256) for row in ids)
    expected = [alone(model, row, 1)[0] / len(row) for row in ids]
    assert LanguageModel(model, words, budget).nll_per_token(asked) == pytest.approx(expected, abs=1e-5)


def test_a_string_is_one_argument_or_two() -> None:
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    parts = [("Cats ", "drink milk"), ("Cats drink milk",)]
    one, two = lm.nll_per_token([Instance("nll_per_token", {}, args, 0, ("t", 0, 1)) for args in parts])
    assert one == two


def test_nothing_to_score_is_an_error() -> None:
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    with pytest.raises(PrunegridError, match=r"\('Cats', ''\): nothing to score"):
        lm.loglikelihood(options([("Cats", [""])]), disable_tqdm=True)
    with pytest.raises(PrunegridError, match="more than the model's context 256"):
        lm.loglikelihood(options([("Cats", [LONG])]), disable_tqdm=True)


def sizes(model: Any, budget: int, asked: list[Instance]) -> list[tuple[int, int]]:
    """(rows, padded tokens a row) of the decoder's calls; those of the set-up are left out."""
    seen: list[tuple[int, int]] = []
    lm = LanguageModel(model, tokenizer(False), budget)
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    lm.loglikelihood(asked, disable_tqdm=True)
    hook.remove()
    return seen


def test_the_budget_holds() -> None:
    model = tiny("llama")
    for budget in (1, 60, 300, 8192):
        seen = sizes(model, budget, options())
        assert all(rows * length <= budget or rows == 1 for rows, length in seen), budget
    rows = len(sizes(model, 1, options()))
    assert rows == len(options()) - 1, "one token of prompt and one of option: both of these read the prompt only"


def test_a_prefix_is_computed_once() -> None:
    """Four options of 3 tokens after 20 each: 20 + 4 x 2 inputs, not 4 x 22."""
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    context = list(range(2, 22))
    seen: list[Any] = []
    lm.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    lm._loglikelihood_tokens([(("", ""), context, [30 + k, 40, 50]) for k in range(4)])
    assert seen[0].tolist() == [[*context, 30, 40, 31, 40, 32, 40, 33, 40]]
    assert len(seen) == 1


def test_rows_by_hand() -> None:
    strings = [Scored([1, 2, 3, 4, 9], 2), Scored([1, 2, 5, 6, 8], 3), Scored([1, 2, 3], 2)]
    rows = shared_rows(strings[:2], ["q", "q"], limit=6)
    assert rows == [Row([0, 1], 2, 6)]
    batch = Batch(strings, rows)
    assert batch.ids_BT.tolist() == [[1, 2, 3, 4, 5, 6]]
    assert batch.position_BT.tolist() == [[0, 1, 2, 3, 2, 3]]
    assert batch.part_BT.tolist() == [[0, 0, 1, 1, 2, 2]]
    assert batch.place_S.tolist() == [1, 2, 3, 4, 5]
    assert batch.target_S.tolist() == [3, 4, 9, 6, 8]
    assert batch.owner_S.tolist() == [0, 0, 0, 1, 1]
    assert (tree_mask(torch.from_numpy(batch.part_BT), torch.float32)[0, 0] == 0).int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 1],
    ]
    assert batch.totals(torch.tensor([1.0, 2, 4, 8, 16]).numpy(), 3).tolist() == [7, 24, 0]


def test_one_token_and_an_option_within_another_by_hand() -> None:
    """Inputs [1, 2, 3], [1, 2], [1, 2]: the row is the first string's; 3 after [1, 2] is scored once for two."""
    strings = [Scored([1, 2, 3, 4], 2), Scored([1, 2, 3], 2), Scored([1, 2, 5], 2)]
    batch = Batch(strings, shared_rows(strings, "qqq", limit=9))
    assert batch.ids_BT.tolist() == [[1, 2, 3]] and batch.part_BT.tolist() == [[0, 0, 1]]
    assert (batch.place_S.tolist(), batch.target_S.tolist()) == ([1, 2, 1, 1], [3, 4, 3, 5])
    first_U, which_S = batch.distinct
    assert len(first_U) == 3 and which_S[0] == which_S[2]


def test_who_shares_a_row() -> None:
    def string(*ids: int) -> Scored:
        return Scored([*ids, 0], 1)

    same = [string(1, 2, 3, 4 + k) for k in range(6)]
    members = [row.members for row in shared_rows(same, "qqqqqq", limit=99)]
    assert members == [[0, 1, 2, 3, 4], [5]], "3 + 5 is twice 4"
    assert [row.members for row in shared_rows(same, "qqqqqq", limit=5)] == [[0, 1], [2, 3], [4, 5]]
    assert all(len(row.members) == 1 for row in shared_rows(same, "qqqqqq", limit=0))
    assert [row.members for row in shared_rows(same[:4], "qppq", limit=99)] == [[0], [1, 2], [3]]


@pytest.mark.parametrize(("kind", "tokens"), [("llama", 256), ("mistral", 40), ("gemma2", 40), ("gpt2", 256)])
def test_models_that_share(kind: str, tokens: int) -> None:
    assert longest_row(tiny(kind), 256) == tokens


def test_models_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALiBi takes positions from the mask; an attention that drops the mask is found out."""
    assert longest_row(tiny("bloom"), 256) == 0
    model = tiny("llama")
    decoder = model.get_decoder()
    own = decoder.forward

    def deaf(input_ids: Any = None, attention_mask: Any = None, position_ids: Any = None, **others: Any) -> Any:
        return own(input_ids=input_ids, position_ids=position_ids, **others)

    monkeypatch.setattr(decoder, "forward", deaf)
    assert longest_row(model, 256) == 0


@pytest.mark.parametrize("budget", [1, 700, 8192])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_equal_those_of_stock(kind: str, bos: bool, budget: int) -> None:
    """Greedy texts, in the requests' order, a prompt that is cut included; two settings side by side."""
    model, words = tiny(kind), tokenizer(bos)
    prompts = [prompt + option for prompt, texts in QUESTIONS for option in texts]
    settings = [{"until": stops, "do_sample": False, "max_gen_toks": n} for stops, n in ((["&", "9"], 20), (["q"], 9))]
    asked = [
        Instance("generate_until", {}, (prompt, dict(settings[place % 2])), 0) for place, prompt in enumerate(prompts)
    ]
    stock = HFLM(pretrained=model, tokenizer=words, backend="causal", batch_size=1, max_length=256)
    ours = LanguageModel(model, words, budget)
    ours._max_length = 256
    found = ours.generate_until(asked)
    assert found == stock.generate_until(asked, disable_tqdm=True)
    assert len(set(found)) > 3


def test_ended_rows_are_dropped() -> None:
    """The tokens that each step reads: all rows' prompts, then one a row that has not ended."""
    from prunegrid.evaluation.generation import drops_rows

    assert [drops_rows(tiny(kind)) for kind in KINDS] == [True, True, True, True, False]
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    prompts = ["Cats", "Fish", "Question", "live in", "2 + 3"]
    setting = {"until": ["&", "9", "q", "k", "e"], "do_sample": False, "max_gen_toks": 24}
    rows: list[int] = []
    lm.model.register_forward_pre_hook(lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True)
    answers = lm.generate_until([Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in prompts])
    assert rows[0] == 5 and rows == sorted(rows, reverse=True) and len(set(rows)) > 2
    assert len(set(map(len, answers))) > 2


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

    asked: list[str] = []

    def values(self: Any, requests: list[Any], **_: Any) -> list[float]:
        asked.extend("".join(request.args) for request in requests)
        return [3.0, 1.0, 2.0, 0.5, 0.5, 0.7, 2.0, 9.0, 1.0]

    monkeypatch.setattr(LanguageModel, "nll_per_token", values)
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    run = harness.run(lm, "whole", TASK, docs(1, 1, 2), seed=0)
    assert asked[:4] == ["Is it 0? yes", "Is it 0? no", "Is it 0? so", "Is it 1? yes"]
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
                nlls.append(alone(model, ids, start)[0] / (len(ids) if per_token else 1))
            expected.append(float(nlls.index(min(nlls)) == item["gold"]))
        assert [sample["acc"] for sample in run["samples"]] == expected
        assert len(set(expected)) == 2


def test_cut_items_are_counted() -> None:
    """255 + 1 tokens fit either way; 256 + 1 only where the last one is not read."""
    from prunegrid.evaluation import harness

    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    unit = next(text for text in "zqxk" if len(lm.tok_encode(text * 50)) == 50)
    items = [{"q": unit * count, "texts": [unit, unit], "gold": 0} for count in (254, 255, 256, 257)]
    assert [len(lm.tok_encode(item["q"])) for item in items] == [254, 255, 256, 257]
    task = TASK | {"target_delimiter": ""}
    assert harness.run(lm, "whole", task, items, seed=0)["n_truncated"] == 2
    assert harness.run(lm, "last", task | {"metadata": {"version": 1}}, items, seed=0)["n_truncated"] == 1
