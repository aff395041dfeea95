"""A kept sample as a trainer takes it: token ids and labels. Training and every export build it here."""

from collections.abc import Sequence
from typing import NamedTuple

IGNORE = -100


class Example(NamedTuple):
    """One kept sample, or conversation, as the model sees it; `labels` are `IGNORE` for tokens that are not trained on.

    `answers` is the number of kept answers. Where they differ in weight, `weights` has one for each trainable token,
    and `weight` is the mean. `kept_tokens` are those that pruning left, of prompts and responses, whether they are
    trained on or not; `ends` are the answers whose end is trained on.
    """

    sample_id: int
    ids: list[int]
    labels: list[int]
    positions: list[int]
    weight: float
    weights: list[float] | None = None
    answers: int = 1
    kept_tokens: int = 0
    ends: int = 0

    @property
    def trainable(self) -> int:
        """The number of tokens that are trained on."""
        return len(self.labels) - self.labels.count(IGNORE)


class Answer(NamedTuple):
    """An answer and the part of the prompt that is new with it.

    `kept_positions` are within the response, and have been checked; None: the answer is context and not learned.
    `prompt_kept` is how many of the prompt's tokens pruning chose; None: it leaves prompts whole. A response that is
    `truncated` has no end.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    kept_positions: Sequence[int] | None
    weight: float = 1.0
    prompt_kept: int | None = None
    truncated: bool = False

    @property
    def kept_tokens(self) -> int:
        """Those that pruning left; context stays whole, unless tokens of prompts are chosen too."""
        prompt = len(self.prompt_ids) if self.prompt_kept is None else self.prompt_kept
        return prompt + len(self.response_ids if self.kept_positions is None else self.kept_positions)

    @property
    def learns_end(self) -> bool:
        """Whether the last token of the sequence is trained on."""
        last = len(self.response_ids) - 1
        return not self.truncated and self.kept_positions is not None and last in self.kept_positions


def build_example(
    sample_id: int,
    prompt_ids: list[int],
    response_ids: list[int],
    kept_positions: Sequence[int] | None,
    weight: float,
    removal: str,
    *,
    prompt_kept: int | None = None,
    truncated: bool = False,
) -> Example:
    """The example of one sample. `kept_positions` are within the response (None: all), and have been checked.

    `removal: mask` leaves all tokens as context, and pruned ones without a loss. `drop` removes pruned tokens; the
    survivors keep their original position ids, and the survivor before a gap predicts the next one.
    """
    kept = range(len(response_ids)) if kept_positions is None else kept_positions
    answer = Answer(prompt_ids, response_ids, kept, weight, prompt_kept, truncated)
    return build_conversation(sample_id, [answer], removal)


def build_conversation(sample_id: int, answers: Sequence[Answer], removal: str) -> Example:
    """The example of a conversation's answers, in order and from the first one on; `sample_id` is the first one's.

    It ends with the last answer that is kept. With `removal: mask` its loss is the sum of the losses of a row for each
    kept answer. With `drop` later answers do not see the tokens that were dropped from earlier ones; an answer that is
    not kept is context, and stays whole as prompts do.
    """
    last = max(number for number, answer in enumerate(answers) if answer.kept_positions is not None)
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    weights: list[float] = []
    start = 0
    for prompt, response, kept, weight, *_ in answers[: last + 1]:
        survivors = kept if kept is not None and removal == "drop" else range(len(response))
        learned = set(kept or ())
        ids += [*prompt, *(response[i] for i in survivors)]
        labels += [IGNORE] * len(prompt) + [response[i] if i in learned else IGNORE for i in survivors]
        border = start + len(prompt)
        positions += [*range(start, border), *(border + i for i in survivors)]
        weights += [weight] * len(learned)
        start = border + len(response)
    kept_answers = [answer for answer in answers if answer.kept_positions is not None]
    example = Example(
        sample_id, ids, labels, positions, kept_answers[0].weight,
        answers=len(kept_answers),
        kept_tokens=sum(answer.kept_tokens for answer in answers[: last + 1]),
        ends=sum(answer.learns_end for answer in kept_answers),
    )  # fmt: skip
    if all(answer.weight == example.weight for answer in kept_answers):
        return example
    return example._replace(weight=sum(weights) / max(1, len(weights)), weights=weights)
