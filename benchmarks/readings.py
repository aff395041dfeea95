"""What Q-Tuning keeps in each reading: simulated mini-batches, no model and no claim about speed.

    python benchmarks/readings.py [--mini-batches 2000] [--batch-size 8] [--correlation 0.7] [--prompt-share 0.23]

PPL and entropy of the samples have the given correlation, lengths are like WizardLM's (log-normal). For each budget of
the paper and both readings: of the kept samples those in Q2 or Q4, filled in like Q2, filled in like Q4; response
tokens kept, of samples like Q2 and of all kept samples; mini-batches that keep samples like Q2 and empty them all;
mini-batches in which no token goes; mini-batches without any token; all tokens kept, prompts included, beside the
nominal share. The last line is one JSON object.
"""

import argparse
import json
from dataclasses import asdict

from prunegrid.experiment.variant import Budget
from prunegrid.pruners import AUTHORS, PAPER
from prunegrid.published.simulation import World, shares, simulate

BUDGETS = [Budget(sample_ratio=s, token_ratio=t) for s in (0.125, 0.25, 0.5) for t in (0.5, 0.7)]
HEADINGS = ("quadrants", "like Q2", "like Q4", "of Q2", "of kept", "emptied", "no drop", "no token", "all tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mini-batches", type=int, default=World.mini_batches)
    parser.add_argument("--batch-size", type=int, default=World.batch_size)
    parser.add_argument("--correlation", type=float, default=World.correlation, help="of log PPL and entropy")
    parser.add_argument("--prompt-share", type=float, default=World.prompt_share, help="of all tokens")
    parser.add_argument("--seed", type=int, default=World.seed)
    world = World(**vars(parser.parse_args()))
    scores, rows = simulate(world), []
    print(f"{'reading':16} {'budget':>11} " + " ".join(f"{heading:>9}" for heading in HEADINGS) + "  nominal")
    for reading in (PAPER, AUTHORS):
        for budget in BUDGETS:
            kept = shares(scores, budget, reading, world.batch_size)
            row = {"reading": reading, **dict(budget), **asdict(kept)}
            rows.append(row)
            numbers = (
                *(kept.quadrants, kept.filled_q2, kept.filled_q4, kept.tokens_of_q2, kept.tokens_of_kept),
                *(kept.emptied, kept.undropped, kept.untrained, kept.all_tokens),
            )
            name = f"{100 * budget.sample_ratio:g} x {100 * budget.token_ratio:g} %"
            nominal = budget.sample_ratio * budget.token_ratio
            print(f"{reading:16} {name:>11} " + " ".join(f"{number:9.3f}" for number in numbers) + f"  {nominal:.4f}")
    print(json.dumps({"benchmark": "readings", "world": asdict(world), "rows": rows}))


if __name__ == "__main__":
    main()
