"""A simulated judge: a grade for every sample of an SFT set, as an import of scores from elsewhere.

No model makes it. It is drawn from what was planted, but knows a part of it only, as a judge does that reads a sample
alone: scrambled words are always seen, wrong ones (a slip included) half of the time. It can see neither what the model
knows already nor copies: their grades are those of any right sample. Each grade has an error of its own.
"""

import random
from collections.abc import Sequence

from prunegrid.core.files import Record

GOOD, BAD, ERROR, DETECTION = 4.0, 2.0, 1.0, 0.5  # of 5; ERROR is a standard deviation


def grades(rows: Sequence[Record], seed: int) -> list[Record]:
    """`row`, counted from 0, and `score` of each row: a grade from 0 to 5, whose mean is `GOOD` or `BAD`."""
    rng = random.Random(f"judge {seed}")
    graded = []
    for number, row in enumerate(rows):
        detected = rng.random() < DETECTION and bool(row["wrong_words"])
        mean = BAD if detected or row["kind"] == "scrambled" else GOOD
        graded.append({"row": number, "score": round(min(5.0, max(0.0, rng.gauss(mean, ERROR))), 3)})
    return graded
