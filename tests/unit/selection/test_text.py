"""Kept samples as text: no character is torn, and what is dropped is marked."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from prunegrid.selection.text import PLAIN, TERMINAL, Decode, marked_text, pieces


def byte_tokenizer() -> Tokenizer:
    """A token for each byte of UTF-8."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def word_tokenizer() -> Tokenizer:
    """Words with a leading `_`, as SentencePiece has them: the first word's text has no space."""
    words = ["▁Who", "▁drinks", "▁milk", "?", "▁Cats"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="?"))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


BYTES, WORDS = byte_tokenizer(), word_tokenizer()
DECODE: Decode = partial(BYTES.decode, skip_special_tokens=False)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_pieces_join_to_the_text_and_tear_no_character(prompt: str, response: str) -> None:
    start, ids = len(BYTES.encode(prompt).ids), BYTES.encode(prompt + response).ids
    parts = list(pieces(DECODE, ids, start))
    assert "".join(text for text, _ in parts) == response
    assert sum(count for _, count in parts) == len(ids) - start
    assert [len(text.encode()) for text, _ in parts] == [count for _, count in parts]


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ([0, 1, 2, 3, 4], "gü€"),
        ([0], "g[-ü€-]"),
        ([0, 3], "g[-ü€-]"),
        ([1, 2], "[-g-]ü[-€-]"),
        ([], "[-gü€-]"),
    ],
)
def test_character_of_which_a_token_is_dropped_counts_as_dropped(kept: list[int], text: str) -> None:
    ids = BYTES.encode("gü€").ids
    assert len(ids) == 6
    kept = [*kept, 5] if 4 in kept or 3 in kept else kept
    assert marked_text(DECODE, BYTES.encode("a: ").ids, ids, kept, PLAIN) == f"a: {text}"


def test_first_word_of_a_response_keeps_its_space() -> None:
    decode = partial(WORDS.decode, skip_special_tokens=False)
    assert marked_text(decode, [0, 1, 2, 3], [4, 1, 2], [0, 2], PLAIN) == "Who drinks milk? Cats[- drinks-] milk"


def test_terminal_styles_each_line_and_shows_control_characters() -> None:
    prompt, response = "a\nb\x1b[2J", "c\n\nd"
    text = marked_text(DECODE, BYTES.encode(prompt).ids, BYTES.encode(response).ids, [0], TERMINAL)
    assert text == "\x1b[2ma\x1b[0m\n\x1b[2mb\\x1b[2J\x1b[0mc\n\n\x1b[9;31md\x1b[0m"
