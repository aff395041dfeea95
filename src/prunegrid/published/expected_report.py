"""What the published rows were trained on, in Markdown: `prunegrid compare --reading authors-2025-09` alone."""

import pandas as pd

from prunegrid.experiment.variant import Budget
from prunegrid.pruners import AUTHORS, PAPER
from prunegrid.published.expected import BUDGETS, trained_on
from prunegrid.published.simulation import World
from prunegrid.table.document import TIMES

# Random, Longest and Entropy choose the same number of samples, so that their rows are alike but for lengths.
ROWS = {
    "any other + Random": "random+random",
    "any other + PPL": "random+ppl",
    "any other + FastV": "random+fastv",
    "any other + SparseVLM": "random+sparsevlm",
    "InfoBatch + Random": "infobatch+random",
    "InfoBatch + PPL": "infobatch+ppl",
    "InfoBatch + FastV": "infobatch+fastv",
    "InfoBatch + SparseVLM": "infobatch+sparsevlm",
    "Q-Tuning": "qtuning",
    "Full Dataset": "full",
}
COLUMNS = ("steps", "passes", "tokens", "ends")
MINI_BATCHES = 300
INTRODUCTION = f"""# What the published rows were trained on

In percent of what Full Dataset has in the paper's reading: optimizer steps, sample passes, trained response tokens and
learned ends of sequence. First as prunegrid reads the paper, then as a working copy of its authors' code from September
2025 does (repository Q-tuning/Q-tuning, commit dd6eba5). Nothing shows which state of that copy made the tables.

Computed: mini-batches of 8 and three epochs, as in the paper; kept tokens from the pruners on {MINI_BATCHES} simulated
mini-batches (correlation of PPL and entropy 0.7, prompts 23 % of all tokens), FastV with uniform attention, samples of
average length. What SparseVLM keeps as that copy does depends on padding and rank: `?`, the same at 50 and 70 %."""


def report() -> str:
    """All rows, budget by budget, in both readings."""
    world = World(mini_batches=MINI_BATCHES)
    parts = [INTRODUCTION]
    for budget in BUDGETS:
        ratios = f"{100 * budget.sample_ratio:g} {TIMES} {100 * budget.token_ratio:g} %"
        lines = [
            [
                name,
                *(cell for reading in (PAPER, AUTHORS) for cell in _cells(method, budget, reading, world)),
            ]
            for name, method in ROWS.items()
        ]
        header = [ratios, *COLUMNS, *(f"copy: {column}" for column in COLUMNS)]
        parts.append(str(pd.DataFrame(lines, columns=header).to_markdown(index=False, disable_numparse=True)))
    return "\n\n".join(parts) + "\n"


def _cells(method: str, budget: Budget, reading: str, world: World) -> list[str]:
    trained = trained_on(method, budget, reading, world)
    shares = (trained.steps, trained.passes, trained.tokens, trained.ends)
    return ["?" if share is None else f"{100 * share:.3g}" for share in shares]
