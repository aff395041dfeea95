"""What a conversation costs read once (`turns: all`) and with a row for each answer (`turns: each`).

python benchmarks/conversations.py --model DIR --turns 1 2 4 8 --conversations 4 --threads 1

Conversations of k answers are made of random words. For each k both sides score the same answers, and make a training
step's forward and backward over them (padded, batches of `--batch-tokens`); they take turns conversation by
conversation, so that a busy machine slows both alike. Scores and losses of the two must agree. The last line is one
JSON object: for each k positions forwarded, CPU seconds, and their ratios each / all.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prunegrid.models import load_model
from prunegrid.scoring.batches import batches_by_length
from prunegrid.scoring.score import Scorer
from prunegrid.scoring.sequences import Sequences
from prunegrid.training.loss import collate, total_nll
from prunegrid.training.samples import Samples


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--turns", type=int, nargs="+", default=[1, 2, 4, 8], help="answers of a conversation")
    parser.add_argument("--conversations", type=int, default=4)
    parser.add_argument("--prompt-tokens", type=int, default=32, help="new ones before each answer")
    parser.add_argument("--response-tokens", type=int, default=96)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    model = load_model(options.model, "float32", "cpu")
    frame = pd.DataFrame([compare(model, options, turns) for turns in options.turns]).set_index("turns")
    print(frame.round(2).to_markdown())
    facts = {name: getattr(options, name) for name in ("conversations", "prompt_tokens", "response_tokens", "threads")}
    print(
        json.dumps(
            {
                "benchmark": "conversations",
                **facts,
                "model": options.model.name,
                "by_turns": frame.round(3).to_dict("index"),
            }
        )
    )


def compare(model: Any, options: argparse.Namespace, turns: int) -> dict[str, float]:
    """Both sides over all conversations of so many answers."""
    line: dict[str, float] = {"turns": turns}
    for work, run in (("scoring", score), ("training", train)):
        sums = {side: {"positions": 0.0, "cpu": 0.0} for side in ("all", "each")}
        for number in range(options.conversations):
            rows = conversation(model, options, turns, number)
            sides = {"all": rows, "each": rows.expanded()}
            order = list(sides) if number % 2 else list(sides)[::-1]
            results = {}
            for side in order:
                start = time.process_time()
                results[side], positions = run(model, sides[side], options.batch_tokens)
                sums[side]["cpu"] += time.process_time() - start
                sums[side]["positions"] += positions
            np.testing.assert_allclose(results["all"], results["each"], rtol=2e-3, atol=1e-4)
        for side, measured in sums.items():
            line |= {f"{work}_{name}_{side}": value for name, value in measured.items()}
        for name in ("positions", "cpu"):
            line[f"{work}_{name}_each_over_all"] = sums["each"][name] / sums["all"][name]
    return line


def conversation(model: Any, options: argparse.Namespace, turns: int, seed: int) -> Sequences:
    turn_N = np.arange(turns)
    prompt_N, response_N = np.full(turns, options.prompt_tokens), np.full(turns, options.response_tokens)
    ids_T = np.random.default_rng(seed).integers(100, model.config.vocab_size - 100, (prompt_N + response_N).sum())
    no_N = np.zeros(turns, bool)
    return Sequences(turn_N, prompt_N, response_N, no_N, ids_T.astype(np.int32), no_N, turn_N, turn_N > 0)


def score(model: Any, rows: Sequences, batch_tokens: int) -> tuple[np.ndarray, int]:
    values, facts = Scorer(model)(rows, batch_tokens, "scoring")
    return np.stack(list(values.values())), facts["positions"]


def train(model: Any, rows: Sequences, batch_tokens: int) -> tuple[np.ndarray, int]:
    """The loss and the norm of the gradient of the head, after the forward and backward of all answers."""
    samples = Samples(rows, "mask")
    examples = [samples[number] for number in range(len(samples.sample_id_C))]
    model.zero_grad()
    total, positions = 0.0, 0
    for chosen in batches_by_length(np.array([len(example.ids) for example in examples]), batch_tokens):
        inputs = collate([examples[number] for number in chosen], packed=False)
        loss = total_nll(model, inputs)
        loss.backward()
        total += loss.item()
        positions += inputs["input_ids"].numel()
    gradient = model.get_output_embeddings().weight.grad
    return np.array([total, float(gradient.norm())]), positions


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    main()
