"""A kept sample as a trainer takes it: token ids and labels. Training and every export build it here."""

from typing import NamedTuple

IGNORE = -100


class Example(NamedTuple):
    """One kept sample as the model sees it; `labels` are `IGNORE` for tokens that are not trained on."""

    sample_id: int
    ids: list[int]
    labels: list[int]
    positions: list[int]
    weight: float

    @property
    def trainable(self) -> int:
        """The number of tokens that are trained on."""
        return sum(label != IGNORE for label in self.labels)


def build_example(
    sample_id: int,
    prompt_ids: list[int],
    response_ids: list[int],
    kept_positions: list[int] | None,
    weight: float,
    removal: str,
) -> Example:
    """The example of one sample. `kept_positions` are within the response (None: all), and have been checked.

    `removal: mask` leaves all tokens as context, and pruned ones without a loss. `drop` removes pruned tokens; the
    survivors keep their original position ids, and the survivor before a gap predicts the next one.
    """
    positions = list(range(len(response_ids))) if kept_positions is None else kept_positions
    start = len(prompt_ids)
    survivors = positions if removal == "drop" else range(len(response_ids))
    learned = set(positions)
    return Example(
        sample_id=sample_id,
        ids=[*prompt_ids, *(response_ids[i] for i in survivors)],
        labels=[IGNORE] * start + [response_ids[i] if i in learned else IGNORE for i in survivors],
        positions=[*range(start), *(start + i for i in survivors)],
        weight=weight,
    )
