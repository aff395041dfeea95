"""What each optional score of `scoring.extra` costs, over the forward that the scoring pass makes anyway.

python benchmarks/columns.py [--model DIR] [--samples 8] [--prompt 64] [--response 192] [--repetitions 5] [--threads 1]

Samples are random tokens. Without --model a Llama with random weights is made: 8 --layers of --width 512, so that the
forward dominates. In every repetition the bare forward (decoder, and the head over response tokens) and then each
column are computed of the same batch, and the CPU seconds of each are measured; ratios are of the medians. A column
of a second pass (nll_alone) is a forward of its own. The last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from prunegrid.models import load_model
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.scoring.attention import fastv_and_sparsevlm, paid_by_last_token
from prunegrid.scoring.batches import Batch, batches_by_length, pad
from prunegrid.scoring.forward import hidden_states, predicting_states
from prunegrid.scoring.sequence_scores import answer_means, layer_scores, sequence_head
from prunegrid.scoring.sequences import Sequences

GOAL = 0.02
BARE, PASS, ALONE = "bare forward", "fastv and sparsevlm (always computed)", "nll_alone, ifd (second forward)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--layers", type=int, default=8, help="of the model that is made without --model")
    parser.add_argument("--width", type=int, default=512, help="of its hidden states, a multiple of 256")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64, help="tokens")
    parser.add_argument("--response", type=int, default=192, help="tokens")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def random_model(folder: Path, layers: int, width: int) -> Path:
    torch.manual_seed(0)
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 256}
    shape = {"hidden_size": width, "intermediate_size": width * 11 // 4, "num_hidden_layers": layers}
    shape["vocab_size"] = 8192
    LlamaForCausalLM(LlamaConfig(**shape, **heads)).save_pretrained(folder)
    return folder


def model_name(options: argparse.Namespace) -> str:
    return options.model.name if options.model else f"a random Llama of {options.layers} layers of {options.width}"


def random_samples(options: argparse.Namespace, vocabulary: int) -> Sequences:
    """Samples of one length, so that no time goes into padding."""
    ids = np.random.default_rng(0).integers(0, vocabulary, options.samples * (options.prompt + options.response))
    lengths = (np.full(options.samples, number) for number in (options.prompt, options.response))
    return Sequences(np.arange(options.samples), *lengths, np.zeros(options.samples, bool), ids.astype(np.int32))


class Clock:
    """CPU seconds of each part, one number a repetition."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, part: str, run: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = run()
        self.seconds.setdefault(part, []).append(time.process_time() - start)
        return result


def measure(model: Any, rows: Sequences, clock: Clock) -> None:
    """One repetition, of one batch."""
    head, special_S = Head(model), torch.zeros(0, dtype=torch.long)
    (chosen,) = batches_by_length(rows.length_N, int(rows.length_N.sum()))

    def forward(batch: Batch) -> torch.Tensor:
        hidden_BTD = hidden_states(model, batch)
        head(predicting_states(hidden_BTD, batch), batch.targets_R)
        return hidden_BTD

    with torch.inference_mode(), AttentionCapture(model) as last, AttentionCapture(model, 1) as second:
        batch = pad(rows, chosen, "cpu")
        hidden_BTD = clock(BARE, lambda: forward(batch))
        layer, layer2 = last.take(), second.take()
        clock(PASS, lambda: fastv_and_sparsevlm(layer, batch, hidden_BTD))
        clock("hidden_mean", lambda: answer_means(hidden_BTD, batch))
        for name in ("prompt_attention", "fastv_rank", "sparsevlm_kept"):
            clock(name, lambda name=name: layer_scores((name,), layer, batch, hidden_BTD, special_S))
        clock("fastv_layer2", lambda: paid_by_last_token(layer2, batch))
        plain = clock("", lambda: head(predicting_states(hidden_BTD, batch), batch.targets_R))
        clock("sequence_entropy", lambda: sequence_head(head, hidden_BTD, batch))
        alone = pad(rows.with_prompt(0), chosen, "cpu")
        clock(ALONE, lambda: forward(alone))
        assert plain


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        model_folder = options.model or random_model(Path(folder), options.layers, options.width)
        model = load_model(model_folder, "float32", "cpu")
        rows, clock = random_samples(options, model.config.vocab_size), Clock()
        for _ in range(options.repetitions + 1):
            measure(model, rows, clock)
    medians = {name: float(np.median(seconds[1:])) for name, seconds in clock.seconds.items()}  # the first warms up
    # The head over prompts and responses takes the place of the one over responses.
    medians["sequence_entropy"] -= medians.pop("")
    bare = medians.pop(BARE)
    ratios = {name: round(seconds / bare, 4) for name, seconds in medians.items()}
    print(f"{BARE}: {bare:.2f} CPU s for {options.samples} x ({options.prompt} + {options.response}) tokens")
    for name, ratio in ratios.items():
        print(f"{name:40} {1 + ratio:.3f} of the bare forward{'' if ratio <= GOAL or name in (PASS, ALONE) else '  *'}")
    print(f"* more than the goal of {GOAL:.0%}")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = {name: getattr(options, name) for name in ("samples", "prompt", "response", "repetitions", "threads")}
    print(
        json.dumps(
            {
                "benchmark": "columns",
                "model": model_name(options),
                "parameters": parameters,
                **shape,
                "bare_cpu_seconds": bare,
                "over_bare": ratios,
            }
        )
    )


if __name__ == "__main__":
    main()
