"""What the scoring pass costs, against a bare forward and against the implementation that people write.

python benchmarks/scoring.py --model DIR --data FILE --samples 48 --max-length 512 --threads 2 [--device cuda]

The sides take turns batch by batch over the same samples, so that a busy machine slows all of them alike:
    bare   the forward with the head over all positions, in chunks, on the batches of ours; keeps nothing
    naive  batches padded in data order, eager, output_attentions of all layers, full log-softmax
    ours   prunegrid's scoring pass
Each side's memory is measured in a process of its own, over its largest batch, above what the loaded
model takes: of the process, or of the GPU, where the model is in bf16. The last line is one JSON object.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from prunegrid.core.ragged import flat_indices
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import USUAL_DTYPE
from prunegrid.models import load_model, load_tokenizer
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.models.head_chunks import CHUNK
from prunegrid.scoring.batches import batches_by_length, pad
from prunegrid.scoring.data_shard import tokenise_shard
from prunegrid.scoring.forward import hidden_states
from prunegrid.scoring.render import Renderer
from prunegrid.scoring.score import scorer
from prunegrid.scoring.sequences import Sequences

SIDES = ("bare", "naive", "ours")
Run = Callable[[np.ndarray], Any]


class Side(NamedTuple):
    """The batches of one side (row numbers) and what it does with each."""

    batches: list[np.ndarray]
    run: Run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--data", type=Path, required=True, help="JSONL or Parquet: prompt/response, messages, ...")
    parser.add_argument("--ignore", nargs="+", default=[], help="fields of the data that are not read")
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--longest", action="store_true", help="the longest samples, not evenly spaced ones")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--memory", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    rows = chosen_rows(options)
    if options.memory:
        print(peak_megabytes(side(options.memory, options, rows), rows, options.device))
        return
    spent = race({name: side(name, options, rows) for name in SIDES}, rows, options.device)
    tokens = int(rows.length_N.sum())
    table = pd.DataFrame(spent, index=["seconds", "cpu_seconds"]).T
    table["tokens_per_second"] = tokens / table["seconds"]
    table["tokens_per_cpu_second"] = tokens / table["cpu_seconds"]
    table["extra_megabytes"] = [memory_of(name) for name in SIDES]
    print(table.round(1).to_markdown())
    ratios = {
        f"speed_ours_over_{other}_by_{unit}": round(float(table.loc[other, unit] / table.loc["ours", unit]), 3)
        for unit in ("seconds", "cpu_seconds")
        for other in ("bare", "naive")
    }
    memory = table["extra_megabytes"]
    ratios["memory_ours_over_naive"] = round(float(memory["ours"] / memory["naive"]), 3)
    facts = {"samples": len(rows), "tokens": tokens, "max_length": options.max_length, "threads": options.threads}
    facts |= {} if options.device == "cpu" else {"device": torch.cuda.get_device_name()}
    print(
        json.dumps(
            {
                "benchmark": "scoring",
                **facts,
                "model": options.model.name,
                **ratios,
                "sides": table.round(1).to_dict("index"),
            }
        )
    )


def chosen_rows(options: argparse.Namespace) -> Sequences:
    with tempfile.TemporaryDirectory() as work:
        data = Path(work, "data.parquet")
        write_dataset(
            Dataset(name="data", path=str(options.data), ignore=options.ignore),
            str(options.data),
            data,
            Path(work, "data.json"),
        )
        rows, _ = tokenise_shard(data, Renderer(load_tokenizer(options.model)), options.max_length)
    some = np.linspace(0, len(rows) - 1, min(options.samples, len(rows))).astype(int)
    take = np.sort(np.argsort(-rows.length_N, kind="stable")[: options.samples]) if options.longest else some
    parts = (rows.sample_id_N[take], rows.prompt_N[take], rows.response_N[take], rows.truncated_N[take])
    return Sequences(*parts, rows.ids_T[flat_indices(rows.offsets, take)])


def side(name: str, options: argparse.Namespace, rows: Sequences) -> Side:
    model = load_model(options.model, USUAL_DTYPE[options.device], options.device)
    if name == "naive":
        model.set_attn_implementation("eager")
        count = max(1, options.batch_tokens // options.max_length)
        in_order = [np.arange(start, min(start + count, len(rows))) for start in range(0, len(rows), count)]
        return Side(in_order, lambda chosen: naive(model, rows, chosen))
    ordered = list(batches_by_length(rows.length_N, options.batch_tokens))
    if name == "bare":
        return Side(ordered, lambda chosen: bare(model, rows, chosen))
    compute = scorer(model, Head(model), AttentionCapture(model).__enter__())
    return Side(ordered, lambda chosen: [values.cpu().numpy() for values in compute(pad(rows, chosen, model.device))])


def bare(model: Any, rows: Sequences, chosen: np.ndarray) -> None:
    hidden_BTD = hidden_states(model, pad(rows, chosen, model.device))
    for hidden_CD in hidden_BTD.flatten(0, 1).split(CHUNK[hidden_BTD.device.type]):
        model.get_output_embeddings()(hidden_CD)


def naive(model: Any, rows: Sequences, chosen: np.ndarray) -> list[dict[str, torch.Tensor]]:
    batch = pad(rows, chosen, model.device)
    mask_BT = (torch.arange(batch.ids_BT.shape[1], device=model.device) < batch.length_B[:, None]).long()
    out = model(batch.ids_BT, attention_mask=mask_BT, output_attentions=True, output_hidden_states=True)
    logp_BTV = out.logits.float().log_softmax(-1)
    nll_BT = -logp_BTV[:, :-1].gather(-1, batch.ids_BT[:, 1:, None])[..., 0]
    entropy_BT = -(logp_BTV.exp() * logp_BTV).sum(-1)
    made = []
    for b, (start, end) in enumerate(zip(batch.prompt_B.tolist(), batch.length_B.tolist(), strict=True)):
        weights_TT = out.attentions[-1][b, :, :end, :end].mean(0)
        unit_TD = torch.nn.functional.normalize(out.hidden_states[-1][b, :end], dim=-1)
        similar_P = (unit_TD[:start] @ unit_TD[start:].T).mean(1)
        made.append(
            {
                "nll": nll_BT[b, start - 1 : end - 1],
                "entropy": entropy_BT[b, start - 1 : end - 1],
                "fastv": (weights_TT.sum(0) / torch.arange(end, 0, -1, device=model.device))[start:],
                "sparsevlm": weights_TT[start:, :start][:, similar_P >= similar_P.mean()].mean(1),
            }
        )
    return made


def race(sides: dict[str, Side], rows: Sequences, device: str) -> dict[str, list[float]]:
    """Wall and CPU seconds of each side; the one that has done the smallest share of the tokens goes next.

    Of equals naive goes first, and bare and ours swap places each time: the one behind naive may pay for the
    memory that it gave back to the system.
    """
    with torch.inference_mode():
        for side in sides.values():
            side.run(np.array([int(rows.length_N.argmin())]))
        spent, done, next_batch = {name: [0.0, 0.0] for name in sides}, dict.fromkeys(sides, 0), dict.fromkeys(sides, 0)
        while unfinished := [name for name in sides if next_batch[name] < len(sides[name].batches)]:
            name = min(unfinished, key=lambda name: (done[name], turn(name, next_batch[name])))
            chosen = sides[name].batches[next_batch[name]]
            wall, cpu = time.perf_counter(), time.process_time()
            sides[name].run(chosen)
            wait_for(device)
            spent[name][0] += time.perf_counter() - wall
            spent[name][1] += time.process_time() - cpu
            done[name] += int(rows.length_N[chosen].sum())
            next_batch[name] += 1
    return spent


def wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def turn(name: str, batch: int) -> int:
    return 0 if name == "naive" else 1 + ((name == "ours") ^ (batch % 2))


def memory_of(name: str) -> float:
    command = [sys.executable, *sys.argv, "--memory", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def peak_megabytes(side: Side, rows: Sequences, device: str) -> float:
    """Growth of the peak memory over the side's largest batch, the model itself being in memory."""
    largest = max(side.batches, key=lambda chosen: len(chosen) * rows.length_N[chosen].max())
    with torch.inference_mode():
        side.run(np.array([int(rows.length_N.argmin())]))
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            baseline = torch.cuda.memory_allocated()
            side.run(largest)
            return round((torch.cuda.max_memory_allocated() - baseline) / 2**20, 1)
        Path("/proc/self/clear_refs").write_text("5")
        baseline = status_megabytes("VmRSS")
        side.run(largest)
    return round(status_megabytes("VmHWM") - baseline, 1)


def status_megabytes(field: str) -> float:
    match = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) / 1024


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    main()
