"""Conversations as the text that a chat template writes, and where each learned answer stands in it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.data.messages import Message, Messages, is_learned, to_template
from prunegrid.experiment.dataset import BadRows
from prunegrid.scoring.presence import REASONING, Part, find, states_tools
from prunegrid.scoring.special_text import SpecialText

NAMED_ROWS = 5  # that are refused, in each shard's meta
SKIP = "skip it (--on-bad-row skip, or dataset.on_bad_row: skip)"
ANOTHER_TEMPLATE = "give another chat template (--chat-template, or models.<name>.chat_template)"
PROBE = "\u2042probe\u2042"


class Conversation(NamedTuple):
    """What a row of the data holds; `place` is where an error says that it stands."""

    messages: Messages
    tools: list[Any] | None = None
    place: str = "chat template"


class Span(NamedTuple):
    """Where an answer stands in a text, in characters.

    `border`: behind the prompt; `text_end`: behind the answer's own text; `tail_end`: behind what ends its turn.
    """

    border: int
    text_end: int
    tail_end: int


class Rendered(NamedTuple):
    """A text, with the marks of `special_text`, and its learned answers, in order."""

    text: str
    answers: list[Span]
    place: str


def learned_turns(messages: Messages) -> list[int]:
    """The number of each learned answer among the assistant turns of the messages, from 0."""
    turns = accumulate(message["role"] == "assistant" for message in messages)
    return [turn - 1 for turn, answer in zip(turns, is_learned(messages), strict=True) if answer]


class Renderer:
    """Renders conversations with a tokenizer's chat template, and counts what a user should know about it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.on_bad_row: BadRows = "error"
        self.counts: Counter[str] = Counter()
        self.texts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @cached_property
    def special_ids(self) -> set[int]:
        """Ids of the tokens that stand for no text."""
        return {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}

    @cached_property
    def special_text(self) -> SpecialText:
        plain = Conversation([{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}])
        try:
            whole, prompt = self._text(plain, 2), self._text(plain, 1, add_generation_prompt=True)
        except PrunegridError:  # a template that refuses so short a conversation
            whole = prompt = ""
        return SpecialText(self.tokenizer, whole + prompt, whole.rpartition(PROBE)[2])

    def facts(self) -> dict[str, Any]:
        """What was counted, for the meta of the scores; empty if the template writes all turns as they are."""
        return dict(self.counts) | {name: dict(texts) for name, texts in self.texts.items()}

    def render(self, conversation: Conversation) -> list[Rendered]:
        """`render_all`, or nothing if it fails and bad rows are skipped: then its answers are counted."""
        try:
            return self.render_all(conversation)
        except PrunegridError as error:
            if self.on_bad_row == "error":
                raise
            refused = self.texts["refused_by_template"]
            name = f"{error.where}: {error.what}" if len(refused) < NAMED_ROWS else "others"
            refused[name] += len(learned_turns(conversation.messages))
            return []

    def render_all(self, conversation: Conversation) -> list[Rendered]:
        """The conversation as one text with all its learned answers.

        A template that rewrites earlier turns when others follow, as one that drops their reasoning, gives a text an
        answer instead. Raises `PrunegridError` if the template fails, or does not write what the messages say.
        """
        indices = [i for i, answer in enumerate(is_learned(conversation.messages)) if answer]
        messages = [self._marked(message) for message in to_template(conversation.messages)]
        conversation = conversation._replace(messages=messages)
        texts = [self._answer(conversation, i) for i in indices]
        whole = texts[-1].text
        if any(not whole.startswith(text.text[: text.answers[0].text_end]) for text in texts):
            self.counts["rewritten_conversations"] += 1
        else:
            spans = [span._replace(tail_end=_tail_end(whole, text, span)) for text, (span,), _ in texts]
            texts = [Rendered(whole, spans, conversation.place)]
        for text, i in zip(texts, indices[-len(texts) :], strict=True):
            self._check(conversation, text, i)
        return texts

    def _marked(self, message: Message) -> Message:
        """The message with marks for special tokens inside an answer; such texts are counted."""
        named = self.special_text.named(message)
        if not named:
            return message
        is_answer = message["role"] == "assistant"
        marked = self.special_text.marked(message) if is_answer else message
        if marked != message or not is_answer:
            self.texts["special_text_in_answers" if is_answer else "special_text_in_prompts"].update(named)
        return marked

    def _answer(self, conversation: Conversation, i: int) -> Rendered:
        """The text up to message `i`, with that one answer."""
        prompt = self._text(conversation, i, add_generation_prompt=True)
        text = self._text(conversation, i + 1)
        if not text.startswith(prompt):
            problem = (
                "the chat template changes earlier turns when the response is added, so the response cannot be "
                f"separated from the prompt: the text {text[:80]!r} does not start with the prompt, which ends in "
                f"{prompt[-40:]!r}"
            )
            raise PrunegridError(conversation.place, problem, ANOTHER_TEMPLATE)
        border, start = self._start(conversation, i, prompt, text)
        place = find(self.special_text.without_end(conversation.messages[i]), text, start, last=True)
        self._refuse(conversation, i, place.missing)
        return Rendered(text, [Span(border, place.end, len(text))], conversation.place)

    def _start(self, conversation: Conversation, i: int, prompt: str, text: str) -> tuple[int, int]:
        """Where the response starts, and where its own text does, behind what the template puts before it."""
        message, border = conversation.messages[i], len(prompt)
        first = (message.get("reasoning_content") or message.get("content") or "").strip()
        if first and text[border:].lstrip().startswith(first):
            return border, border
        probe = {"role": message["role"], "content": PROBE}
        probed = self._text(conversation._replace(messages=[*conversation.messages[:i], probe]), i + 1)
        header = probed[border : probed.find(PROBE)] if PROBE in probed else ""
        if not header.strip() or not text.startswith(header, border):
            return border, border
        start = border + len(header)
        if self._text(conversation, i) == prompt:  # the template has no generation prompt
            self.counts["without_generation_prompt"] += 1
            return start, start
        self.texts["added_by_template"][header] += 1
        return border, start

    def _text(self, conversation: Conversation, stop: int, **options: Any) -> str:
        """The first `stop` messages as the template writes them."""
        messages, tools = conversation.messages[:stop], conversation.tools
        try:
            text: str = self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **options)
        except Exception as error:  # a template is a program: it raises what it likes
            problem = f"the chat template fails ({type(error).__name__}: {first_line(error)})"
            fix = f"change the row, {SKIP}, or {ANOTHER_TEMPLATE}"
            raise PrunegridError(conversation.place, problem, fix) from error
        return text

    def _check(self, conversation: Conversation, text: Rendered, last: int) -> None:
        """Refuse a text that lacks one of the messages before its last answer; count reasoning that it drops."""
        end, lacks_reasoning = 0, False
        for i, message in enumerate(conversation.messages[:last]):
            place = find(message, text.text, end)
            end = place.end
            self._refuse(conversation, i, [part for part in place.missing if part.kind != REASONING])
            lacks_reasoning |= bool(place.missing)
        self.counts.update({"reasoning_dropped": 1} if lacks_reasoning else {})
        if conversation.tools and not states_tools(conversation.tools, text.text):
            problem = f"the chat template{self._name()} does not write the row's tools"
            raise PrunegridError(conversation.place, problem, f"{ANOTHER_TEMPLATE}, or ignore the field tools")

    def _refuse(self, conversation: Conversation, i: int, missing: Sequence[Part]) -> None:
        """Refuse a template that does not write `missing`, which message `i` says."""
        if missing:
            kind, text = missing[0]
            what = f"the {kind} {self.special_text.restored(text).strip()[:60]!r}"
            problem = f"the chat template{self._name()} does not write {what} of message {i + 1}"
            raise PrunegridError(conversation.place, problem, ANOTHER_TEMPLATE)

    def _name(self) -> str:
        """A template that is short, as one that is only a name."""
        template = str(self.tokenizer.chat_template)
        return f" {template!r}" if len(template) <= 60 else ""


def _tail_end(whole: str, text: str, span: Span) -> int:
    """How far the two texts agree behind the answer of `text`."""
    shorter = min(len(whole), len(text))
    return next((i for i in range(span.text_end, shorter) if whole[i] != text[i]), shorter)
