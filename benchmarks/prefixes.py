"""What `evaluation.share_prefixes` saves: prompts that begin alike read their prefix once.

    python benchmarks/prefixes.py MODEL [--data FOLDER] [--questions 48] [--shots 4] [--max_new_tokens 50] [--repeat 2]

Two sets of prompts: SQuAD 2.0 (all questions of each passage until there are enough) and GSM8K behind `--shots` worked
examples. Both sides are `evaluation/generation.py`'s `generate` in float32, without stop strings, and take turns:
    rows      each row of a batch reads its whole prompt
    prefixes  with `share_prefixes`; its trial of the model is included
`reading` is `rows` with one new token: about what reading the prompts costs, of which sharing saves a part. `shared` is
the share of the prompts' tokens that need not be read if no batch divides a family of prompts. Seconds are of CPU, each
the least of `--repeat` runs. Answers of both sides are compared, token by token. The last line is one JSON object; the
exit status is 1 if answers differ.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prunegrid.evaluation.generation import generate
from prunegrid.evaluation.prompt_prefixes import shared_prefixes

Prompts = list[list[int]]


def squad(folder: Path, count: int) -> list[str]:
    lines = (folder / "rajpurkar/squad_v2/validation.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[:count]]
    return [f"Title: {r['title']}\n\nBackground: {r['context']}\n\nQuestion: {r['question']}\n\nAnswer:" for r in rows]


def gsm8k(folder: Path, count: int, shots: int) -> list[str]:
    path = next(path for path in sorted((folder / "openai/gsm8k").rglob("*.jsonl")) if "test" in path.name)
    rows = [json.loads(line) for line in path.read_text().splitlines()[: count + shots]]
    examples = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in rows[:shots])
    return [f"{examples}Question: {row['question']}\nAnswer:" for row in rows[shots:]]


def measure(model: Any, tokenizer: Any, texts: list[str], options: argparse.Namespace) -> dict[str, Any]:
    prompts = [tokenizer.encode(text) for text in texts]
    seconds: dict[str, list[float]] = {"rows": [], "prefixes": [], "reading": []}
    answers: dict[str, Prompts] = {}
    for _ in range(options.repeat):
        for side, share, new in (
            ("rows", False, options.max_new_tokens),
            ("prefixes", True, options.max_new_tokens),
            ("reading", False, 1),
        ):
            start = time.process_time()
            generated = generate(
                model,
                tokenizer,
                prompts,
                max_new_tokens=new,
                batch_tokens=options.batch_tokens,
                implementation=None if share else "dynamic",
                share_prefixes=share,
            )
            seconds[side].append(time.process_time() - start)
            answers[side] = generated.tokens
            if generated.fallback:
                sys.exit(generated.fallback)
    least = {side: round(min(values), 2) for side, values in seconds.items()}
    different = sum(a != b for a, b in zip(answers["rows"], answers["prefixes"], strict=True))
    shared = shared_prefixes(prompts, [len(prompt) - 1 for prompt in prompts])
    tokens = sum(map(len, prompts))
    saved = sum(shared.length_B) - sum(map(len, shared.prefixes)) if shared else 0
    return {
        "prompts": len(prompts),
        "tokens": tokens,
        "shared": round(saved / tokens, 3),
        **least,
        "ratio": round(least["rows"] / least["prefixes"], 2),
        "different": different,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=os.environ.get("PRUNEGRID_DATA", "."))
    for name, default in (
        ("questions", 48),
        ("shots", 4),
        ("max_new_tokens", 50),
        ("repeat", 2),
        ("batch_tokens", 8192),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    tokenizer.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    sets = {
        "squad": squad(Path(options.data), options.questions),
        "gsm8k": gsm8k(Path(options.data), options.questions, options.shots),
    }
    results = {name: measure(model, tokenizer, texts, options) for name, texts in sets.items()}
    print(f"{'':8}{'prompts':>8}{'tokens':>8}{'shared':>8}{'rows':>8}{'prefixes':>10}{'reading':>9}{'ratio':>7}")
    for name, row in results.items():
        cells = f"{row['prompts']:8}{row['tokens']:8}{row['shared']:8.0%}{row['rows']:8.1f}{row['prefixes']:10.1f}"
        print(f"{name:8}{cells}{row['reading']:9.1f}{row['ratio']:7.2f}")
    print(json.dumps({"benchmark": "prefixes", "model": Path(options.model).name, "sets": results}))
    sys.exit(any(row["different"] for row in results.values()))


if __name__ == "__main__":
    main()
