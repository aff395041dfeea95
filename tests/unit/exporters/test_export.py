"""Every format: the selection's ids and labels, by the rules that trainers need."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.core import files
from prunegrid.core.randomness import uniform
from prunegrid.exporters import rows as reader
from prunegrid.exporters.consumers import CONSUMERS
from prunegrid.exporters.export import export, iterate_rows
from prunegrid.selection.prune import prune
from support.errors import refused
from support.exported import (
    TOKEN_CONSUMERS,
    Kept,
    exported,
    random_kept,
    read_export,
    trained_ids,
    write_data,
    write_kept,
    write_selection,
)
from support.handmade_scores import spec

EOS = 0


def text_of(samples: list[Kept]) -> list[dict[str, Any]]:
    return [
        {"sample_id": identifier, "messages": [("user", f"question {identifier}"), ("assistant", "answer")]}
        for identifier in range(len(samples))
    ]


def write(folder: Path, samples: list[Kept]) -> Path:
    selection = write_kept(folder, samples)
    write_data(folder / "scores", text_of(samples))
    return selection


def recipe(scores: Path, selection: Path) -> list[tuple[list[int], list[int]]]:
    """Ids and labels as the docs of version 0.1 made them."""
    tokens = pq.read_table(scores / "tokens.parquet").to_pandas().set_index("sample_id")
    rows = []
    for row in pq.read_table(selection / "selection.parquet").to_pylist():
        sample, kept = tokens.loc[row["sample_id"]], set(row["kept"])
        labels = [-100] * len(sample.prompt_ids)
        labels += [token if i in kept else -100 for i, token in enumerate(sample.response_ids)]
        rows.append(([*sample.prompt_ids, *sample.response_ids], labels))
    return rows


@pytest.fixture(scope="session")
def pruned(tmp_path_factory: pytest.TempPathFactory, scores: Path, dataset: Path, tiny_model: Path) -> Path:
    """A selection of scores of a model, with its tokenizer and texts."""
    folder = tmp_path_factory.mktemp("export")
    shutil.copytree(scores, folder / "scores")
    shutil.copyfile(dataset, folder / "scores/data.parquet")
    (folder / "scores/tokenizer").mkdir()
    for file in tiny_model.glob("*token*"):
        shutil.copyfile(file, folder / "scores/tokenizer" / file.name)
    shutil.copyfile(tiny_model / "chat_template.jinja", folder / "scores/tokenizer/chat_template.jinja")
    shutil.copyfile(tiny_model / "config.json", folder / "scores/tokenizer/config.json")
    prune(folder / "scores", folder / "pruned", spec("random+ppl"), seed=0)
    return folder / "pruned"


def test_consumers_are_those_of_the_tests() -> None:
    assert sorted(CONSUMERS) == sorted([*TOKEN_CONSUMERS, "openai"])


@pytest.mark.parametrize("consumer", TOKEN_CONSUMERS)
def test_export_of_a_model_s_scores_has_the_ids_and_labels_of_the_recipe(pruned: Path, consumer: str) -> None:
    scores = pruned.parent / "scores"
    rows = exported(pruned, consumer, scores=scores)
    assert [(row["input_ids"], row["labels"]) for row in rows] == recipe(scores, pruned)


@pytest.mark.parametrize("removal", ["mask", "drop"])
@pytest.mark.parametrize("consumer", TOKEN_CONSUMERS)
def test_export_keeps_the_rules(tmp_path: Path, consumer: str, removal: str) -> None:
    samples = random_kept(60, EOS)
    chosen = [sample for sample in samples if sample.kept is not None]
    rows = exported(write(tmp_path, samples), consumer, removal=removal)
    assert len(rows) == len(chosen)
    for row, sample in zip(rows, chosen, strict=True):
        ids, labels = row["input_ids"], row["labels"]
        assert sample.kept is not None
        assert trained_ids(row) == [sample.response[position] for position in sample.kept]
        assert (labels[-1] == EOS) is not sample.truncated
        assert len(ids) == len(labels) and all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
        assert labels[0] == -100
        assert row.get("attention_mask", [1] * len(ids)) == [1] * len(ids)
        response = [sample.response[i] for i in sample.kept] if removal == "drop" else sample.response
        assert ids == sample.prompt + response


@pytest.mark.parametrize("consumer", TOKEN_CONSUMERS)
def test_export_of_a_sample_without_label_leaves_it_out_and_counts_it(tmp_path: Path, consumer: str) -> None:
    selection = write(tmp_path, [Kept([1], [2, 3], []), Kept([1], [2, EOS], [1])])
    summary = export(selection, consumer, tmp_path / "out")
    assert summary.left_out == {"no_label": 1}
    assert [trained_ids(row) for row in read_export(tmp_path / "out", consumer)] == [[EOS]]


def test_export_of_nothing_is_refused(tmp_path: Path) -> None:
    selection = write(tmp_path, [Kept([1], [2, 3], [])])
    with refused(selection / "selection.parquet", "no row", "no_label"):
        export(selection, "trl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_summary_by_hand(tmp_path: Path) -> None:
    selection = write(tmp_path, [Kept([1, 5], [2, EOS], [0, 1]), Kept([1], [2, 3, EOS], [2])])
    summary = export(selection, "axolotl", tmp_path / "out")
    assert (summary.rows, summary.tokens, summary.labels, summary.longest) == (2, 8, 3, 4)
    assert summary.limit == "sequence_len: 4"
    assert files.read_json(tmp_path / "out/export.json") == summary.model_dump()
    assert sorted(summary.files) == ["README.md", "export.json", "train.jsonl", "train.yaml"]


@pytest.mark.parametrize("consumer", TOKEN_CONSUMERS)
def test_weights_are_refused_or_drawn(tmp_path: Path, consumer: str) -> None:
    samples = [Kept([1], [10 + i, EOS], [0, 1], weight=weight) for i, weight in enumerate([1, 2, 2.5, 0.5, 3])]
    selection = write(tmp_path, samples)
    with refused(selection / "selection.parquet", "sample_id 1", "weight 2", fix="--resample"):
        export(selection, consumer, tmp_path / "out")
    rows = exported(selection, consumer, resample=True)
    counts = [sum(row["input_ids"][1] == 10 + i for row in rows) for i in range(5)]
    assert counts[:2] == [1, 2] and counts[2] in (2, 3) and counts[3] in (0, 1) and counts[4] == 3
    assert exported(selection, consumer, resample=True) == rows


def test_weights_are_drawn_in_proportion(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [0, 1], weight=1.25)] * 400)
    rows = list(iterate_rows(selection, resample=True))
    assert len(rows) == sum(int(1.25 + uniform(1, "resample", i)) for i in range(400))
    assert abs(len(rows) - 500) < 4 * (400 * 0.25 * 0.75) ** 0.5
    summary = export(selection, "trl", tmp_path / "out", resample=True)
    assert (summary.rows, summary.left_out) == (len(rows), {"no_label": 0})


def with_bos(folder: Path) -> int:
    """A tokenizer with a beginning of sequence in `scores/`; its id."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(folder / "scores/tokenizer")
    files.write_json(folder / "scores/tokenizer/config.json", {"model_type": "llama"})
    return 0


@pytest.mark.parametrize("consumer", TOKEN_CONSUMERS)
def test_one_beginning_of_sequence_passes_and_two_are_refused(tmp_path: Path, consumer: str) -> None:
    selection = write(tmp_path, [Kept([0, 5], [2, 1], [0, 1]), Kept([5], [2, 1], [1])])
    with_bos(tmp_path)
    summary = export(selection, consumer, tmp_path / "out")
    assert [row["input_ids"][:2] for row in read_export(tmp_path / "out", consumer)] == [[0, 5], [5, 2]]
    assert "token 0" in summary.bos and "1 of 2" in summary.bos
    write(tmp_path, [Kept([0, 0, 5], [2, 1], [0, 1])])
    with refused(tmp_path / "pruned/../scores", "two beginnings", fix="template"):
        export(selection, consumer, tmp_path / "out")


def conversations(folder: Path) -> Path:
    """Three conversations in one sequence each, of 3, 1 and 2 answers; of the first, answers 0 and 2 are kept."""
    samples = [
        Kept([1, 2], [3, 4, EOS], [1, 2]),
        Kept([5], [6, EOS], None, continues=True),
        Kept([7, 8], [9, 10, 11, EOS], [0, 3], continues=True),
        Kept([1], [12, EOS], [0, 1]),
        Kept([1], [13, EOS], [1]),
        Kept([14], [15, EOS], None, continues=True),
    ]
    selection = write_kept(folder, samples, row=[0, 0, 0, 1, 4, 4], turn=[0, 1, 2, 0, 0, 1])
    answers = {0: ["a", "b", "c"], 3: ["d"], 4: ["e", "f"]}
    write_data(
        folder / "scores",
        [
            {"sample_id": first, "messages": [turn for text in texts for turn in (("user", f"{text}?"), learned(text))]}
            for first, texts in answers.items()
        ],
    )
    return selection


def learned(text: str) -> tuple[str, str, dict[str, Any]]:
    return ("assistant", text, {"train": True})


@pytest.mark.parametrize("tokens", [2**20, 1])
@pytest.mark.parametrize("consumer", TOKEN_CONSUMERS)
def test_conversation_is_one_row_with_the_labels_of_its_kept_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, consumer: str, tokens: int
) -> None:
    monkeypatch.setattr(reader, "BLOCK_TOKENS", tokens)
    rows = exported(conversations(tmp_path), consumer)
    assert [row["input_ids"] for row in rows] == [
        [1, 2, 3, 4, EOS, 5, 6, EOS, 7, 8, 9, 10, 11, EOS],
        [1, 12, EOS],
        [1, 13, EOS],
    ]
    assert [trained_ids(row) for row in rows] == [[4, EOS, 9, EOS], [12, EOS], [EOS]]
    assert rows[0]["labels"][5:10] == [-100] * 5


def test_conversation_drops_tokens_of_kept_answers_only(tmp_path: Path) -> None:
    first = next(iterate_rows(conversations(tmp_path), removal="drop"))
    assert first["input_ids"] == [1, 2, 4, EOS, 5, 6, EOS, 7, 8, 9, EOS]


def test_conversation_has_the_place_of_its_first_kept_answer(tmp_path: Path) -> None:
    rows = exported(conversations(tmp_path), "jsonl")
    places = [(row["sample_id"], row["row"], row["turn"], row["kept_tokens"]) for row in rows]
    assert places == [(0, 0, 0, 4), (3, 1, 0, 2), (4, 4, 0, 1)]
    texts = [[message["content"] for message in row["messages"]] for row in rows]
    assert texts == [["a?", "a", "b?", "b", "c?", "c"], ["d?", "d"], ["e?", "e"]]


def test_conversation_counts_an_answer_without_label(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [1]), Kept([3], [4, EOS], [], continues=True)])
    summary = export(selection, "trl", tmp_path / "out")
    assert (summary.rows, summary.labels, summary.left_out) == (1, 1, {"no_label": 1})


def test_conversation_with_answers_of_different_weight_is_refused(tmp_path: Path) -> None:
    samples = [Kept([1], [2, EOS], [1]), Kept([1], [2, EOS], [1], weight=2, continues=True)]
    selection = write_kept(tmp_path, samples)
    with refused(selection / "selection.parquet", "sample_id 0", "differ in weight", fix="turns: each"):
        list(iterate_rows(selection, resample=True))


def test_rows_in_memory_are_those_of_an_export(tmp_path: Path) -> None:
    selection = write(tmp_path, random_kept(30, EOS))
    assert list(iterate_rows(selection)) == exported(selection, "trl")


def test_blocks_of_any_size_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = write(tmp_path, random_kept(60, EOS))
    rows = list(iterate_rows(selection))
    for tokens in (1, 7, 100):
        monkeypatch.setattr(reader, "BLOCK_TOKENS", tokens)
        assert list(iterate_rows(selection)) == rows


def test_scores_in_another_order_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = random_kept(40, EOS)
    ids = [(7 * i) % 40 for i in range(40)]
    monkeypatch.setattr(reader, "BLOCK_TOKENS", 50)
    ordered = list(iterate_rows(write_kept(tmp_path / "a", samples)))
    shuffled = list(iterate_rows(write_kept(tmp_path / "b", [samples[i] for i in ids], ids)))
    assert sorted(map(str, ordered)) == sorted(map(str, shuffled))


@pytest.mark.parametrize(
    ("kept", "words"),
    [([0, 3], "not in the response"), ([-1, 2], "not in the response"), ([2, 2], "in order"), ([0], "the end")],
)
def test_positions_that_cannot_be_are_refused(tmp_path: Path, kept: list[int], words: str) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, 3, EOS], [0, 2]), Kept([1], [2, 3, EOS], kept)])
    with refused(selection / "selection.parquet", "sample_id 1", words):
        list(iterate_rows(selection))


@pytest.mark.parametrize("rule", ["compete", "drop"])
def test_answers_without_their_end_are_exported_where_the_selection_says_so(tmp_path: Path, rule: str) -> None:
    samples = [Kept([1], [2, 3, EOS], [0]), Kept([4], [5, EOS], [])]
    selection = write_kept(tmp_path, samples)
    write_selection(selection, dict(enumerate(samples)), options={"end_token": rule})
    (row,) = iterate_rows(selection)
    assert (row["input_ids"], row["labels"]) == ([1, 2, 3, EOS], [-100, 2, -100, -100])
    assert export(selection, "trl", tmp_path / "out").left_out == {"no_label": 1}


def test_selection_of_other_scores_is_refused(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [1])])
    files.write_json(tmp_path / "scores/meta.json", {"digests": {"model": "new"}})
    write_selection(selection, {0: Kept([1], [2, EOS], [1])}, digests={"model": "old"})
    with refused(selection / "selection.json", "another model"):
        list(iterate_rows(selection))


def test_selection_whose_file_was_changed_is_refused(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [1])])
    summary = files.read_json(selection / "selection.json")
    write_selection(selection, {0: Kept([1], [2, EOS], [0, 1])})
    files.write_json(selection / "selection.json", summary)
    with refused(selection / "selection.parquet", "selection.json describes"):
        list(iterate_rows(selection))


def test_selection_with_a_sample_without_scores_is_refused(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [1])])
    write_selection(selection, {0: Kept([1], [2, EOS], [1]), 7: Kept([1], [2, EOS], [1])})
    with refused(selection / "selection.parquet", "1 of its 2"):
        list(iterate_rows(selection))


@pytest.mark.parametrize("ids", [[0], [0, 1, 2], [1, 0]])
def test_tokens_of_other_samples_are_refused(tmp_path: Path, ids: list[int]) -> None:
    sample = Kept([1], [2, EOS], [1])
    selection = write_kept(tmp_path / "a", [sample, sample])
    write_kept(tmp_path / "b", [sample] * len(ids), ids)
    tokens = tmp_path / "a/scores/tokens.parquet"
    shutil.copyfile(tmp_path / "b/scores/tokens.parquet", tokens)
    with refused(selection / "../scores/tokens.parquet", "same order", fix="score again"):
        list(iterate_rows(selection))


def test_dynamic_selection_is_refused(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [1])])
    write_selection(selection, {0: Kept([1], [2, EOS], [1])}, mode="dynamic")
    with refused(selection / "selection.json", "dynamic", fix="static"):
        list(iterate_rows(selection))


def test_folder_without_a_selection_is_refused(tmp_path: Path) -> None:
    with refused(tmp_path, "selection.json", fix="prune"):
        list(iterate_rows(tmp_path))


def test_scores_are_found_beside_the_cell_of_a_results_folder(tmp_path: Path) -> None:
    write_kept(tmp_path, [Kept([1], [2, EOS], [1])])
    cell = tmp_path / "results/mine/pruned/m/s0.5-t0.5/random+ppl/seed0"
    shutil.copytree(tmp_path / "pruned", cell)
    summary = files.read_json(cell / "selection.json")
    del summary["scores"]
    files.write_json(cell / "selection.json", summary)
    shutil.copytree(tmp_path / "scores", tmp_path / "results/mine/scores/m")
    with refused(cell, "which scores", fix="--scores"):
        list(iterate_rows(cell))
    files.write_json(tmp_path / "results/mine/experiment.json", {})
    assert [trained_ids(row) for row in iterate_rows(cell)] == [[EOS]]


def test_scores_that_are_given_replace_those_of_the_selection(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, [Kept([1], [2, EOS], [1])])
    (tmp_path / "scores").rename(tmp_path / "moved")
    with refused(selection / "../scores", "samples.parquet", fix="--scores"):
        list(iterate_rows(selection))
    assert len(list(iterate_rows(selection, scores=tmp_path / "moved"))) == 1


def test_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    selection, out = write(tmp_path, [Kept([1], [2, EOS], [1])]), tmp_path / "out"
    export(selection, "trl", out)
    export(selection, "axolotl", out)
    assert not (out / "train.parquet").exists()
    (out / "mine.txt").write_text("mine")
    with refused(out, "mine.txt", fix="--out"):
        export(selection, "trl", out)
    assert (out / "train.jsonl").exists()
    with refused(out / "mine.txt", "a file"):
        export(selection, "trl", out / "mine.txt")


def test_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    selection = write(tmp_path, [Kept([1], [2, EOS], [1]), Kept([1], [2, EOS], [1], weight=2)])
    with refused(selection / "selection.parquet", "weight"):
        export(selection, "trl", tmp_path / "new/out")
    assert not (tmp_path / "new").exists()


def test_unknown_consumer_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with refused("--to axolot", "trl", "jsonl", fix="axolotl"):
        export(tmp_path, "axolot", tmp_path / "out")


@pytest.mark.parametrize("consumer", ["open-instruct", "datasets", "jsonl"])
def test_text_for_a_consumer_of_ids_is_refused(tmp_path: Path, consumer: str) -> None:
    with refused(f"--to {consumer}", "not text", fix="--as text"):
        export(tmp_path, consumer, tmp_path / "out", as_text=True)


@pytest.mark.parametrize("consumer", sorted(CONSUMERS))
def test_card_says_what_was_kept_and_how_to_use_it(tmp_path: Path, consumer: str) -> None:
    samples = [Kept([1], [2, 3, EOS], [0, 1, 2]), Kept([1], [2, EOS], [0, 1])]
    selection, out = write(tmp_path, samples), tmp_path / "out"
    summary = export(selection, consumer, out)
    page = (out / "README.md").read_text()
    for value in ("random+random", "0.5 of samples", summary.selection, CONSUMERS[consumer].title, "licence"):
        assert value in page
    assert files.read_json(selection / "selection.json")["selection"] in page
    assert str(out) in page or consumer in ("openai", "jsonl", "axolotl")
