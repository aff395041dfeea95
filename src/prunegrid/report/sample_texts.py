"""Samples as text, decoded from the token ids that were scored: an answer in pieces that a page can colour."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_parquet, repair
from prunegrid.core.ragged import Ints
from prunegrid.report.selections import rows_of
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.text import pieces

IDS = ["sample_id", "prompt_ids", "response_ids"]
PROMPT_TOKENS, ANSWER_TOKENS = 600, 1500  # what is shown of a sample; of a prompt its end, which has the question
SHORT, SHORT_TOKENS = 160, 100  # characters of a text that a mouse passes over, and the tokens that are enough for it


class TextSource(NamedTuple):
    """What decodes a model's samples; `problem` says why there is nothing to decode with."""

    tokenizer: Tokenizer | None
    problem: str = ""

    def decode(self, ids: list[int]) -> str:
        """The exact text of the ids; special tokens are part of it."""
        assert self.tokenizer, self.problem
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text


def text_source(scores: ScoresFolder, texts: bool = True) -> TextSource:
    """The tokenizer that the scores were made with, unless no `texts` may be shown.

    Raises `PrunegridError` if its file is damaged.
    """
    if not texts:
        return TextSource(None, "This page was made without texts.")
    if not set(IDS) <= set(parquet_schema(scores.tables["token"]).names):
        return TextSource(None, f"{scores.tables['token'].name} has no token ids, so there are no texts.")
    try:
        folder = Path(os.path.relpath(scores.tokenizer_dir()))
    except PrunegridError as error:
        return TextSource(None, f"No texts: {error}.")
    file = folder / "tokenizer.json"
    try:
        return TextSource(Tokenizer.from_file(str(file)))
    except Exception as error:  # the library has no class of its own for it
        raise PrunegridError(file, f"damaged or not a tokenizer ({error})", repair(folder)) from None


def short_texts(scores: ScoresFolder, source: TextSource, ids: Ints) -> dict[int, tuple[str, str]]:
    """The end of the prompt and the beginning of the answer of each sample, on one line each."""
    if source.tokenizer is None:
        return {}
    rows = rows_of(scores.tables["token"], IDS, ids)
    prompts = _decode_all(source.tokenizer, [row[-SHORT_TOKENS:] for row in rows["prompt_ids"].to_pylist()])
    answers = _decode_all(source.tokenizer, [row[:SHORT_TOKENS] for row in rows["response_ids"].to_pylist()])
    texts = [(_short_end(prompt), _short(answer)) for prompt, answer in zip(prompts, answers, strict=True)]
    return dict(zip(rows["sample_id"].to_pylist(), texts, strict=True))


def _decode_all(tokenizer: Tokenizer, rows: list[list[int]]) -> list[str]:
    texts: list[str] = tokenizer.decode_batch(rows, skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]


def _short(text: str) -> str:
    return text if len(text) <= SHORT else text[:SHORT] + "\N{HORIZONTAL ELLIPSIS}"


def _short_end(text: str) -> str:
    return text if len(text) <= SHORT else "\N{HORIZONTAL ELLIPSIS}" + text[-SHORT:]


def sample_text(source: TextSource, prompt: list[int], response: list[int]) -> dict[str, Any]:
    """The prompt and the answer's pieces, with the number of tokens of each piece where it is not 1 for all.

    `cut_prompt` and `cut_answer` are numbers of tokens that are not shown, of a long prompt and a long answer.
    """
    if source.tokenizer is None:
        return {"prompt": "", "pieces": ["" for _ in response[:ANSWER_TOKENS]]}
    cut_prompt, cut_answer = (max(0, len(prompt) - PROMPT_TOKENS), max(0, len(response) - ANSWER_TOKENS))
    context, shown = prompt[cut_prompt:], response[:ANSWER_TOKENS]
    parts = list(pieces(source.decode, [*context, *shown], len(context)))
    row: dict[str, Any] = {"prompt": source.decode(context), "pieces": [text for text, _ in parts]}
    counts = [count for _, count in parts]
    sparse = {"counts": counts if max(counts) > 1 else None, "cut_prompt": cut_prompt, "cut_answer": cut_answer}
    return row | {name: value for name, value in sparse.items() if value}


def carried_texts(scores: ScoresFolder, name: str, ids: Ints) -> dict[int, str]:
    """The column `name` that the data carry, such as `kind`, by sample; empty if they carry none."""
    try:
        file = scores.data_file()
    except PrunegridError:  # removed, or another one: then nothing is known
        return {}
    schema = parquet_schema(file)
    if name not in schema.names or not pa.types.is_string(schema.field(name).type):
        return {}
    table = read_parquet(file, ["sample_id", name])
    known: Mapping[int, str] = dict(zip(table["sample_id"].to_pylist(), table[name].to_pylist(), strict=True))
    return {i: known[i] for i in ids.tolist() if known.get(i)}


def numbers(values: Any, digits: int = 4) -> list[float | None]:
    """The values for JSON: so many significant digits, and None for what is not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in np.asarray(values, float)]
