"""Show what pruners keep at each ratio, and which grid would detect a difference between them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prunegrid.cli.arguments import EXPERIMENT, whole_number
from prunegrid.core.errors import PrunegridError

if TYPE_CHECKING:
    from prunegrid.statistics.resolution import Resolution


def add_arguments(parser: argparse.ArgumentParser) -> None:
    ratios = "sample ratios to compare, such as 1%%,10%%,50%%"
    parser.add_argument("scores", type=Path, help="folder that `prunegrid score` wrote, or scores/<model> of a run")
    parser.add_argument(
        "--methods", metavar="A,B", help="pairs or joint pruners; default: common ones whose scores are available"
    )
    parser.add_argument("--samples", default="1%,2%,5%,10%,20%,30%,50%,75%,100%", metavar="R,R", help=ratios)
    parser.add_argument(
        "--tokens", default="50%", metavar="R,R", help="ratios of response tokens of each kept sample; default: 50%%"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument(
        "--kind", metavar="COLUMN", help="column of the data; count the kept samples of each of its values"
    )
    out = "write every row (.csv, .parquet), the report (.md) or curves (.png, .svg)"
    parser.add_argument("--out", type=Path, metavar="FILE", help=out)
    detect = parser.add_argument_group("which grid would detect a difference")
    detect.add_argument(
        "--detect",
        type=float,
        metavar="POINTS",
        help="smallest difference to detect, in points of the benchmarks' average",
    )
    detect.add_argument("--items", metavar="N,N", help="number of items of each benchmark")
    detect.add_argument("--results", type=Path, metavar="DIR", help="finished results, whose measured noise is used")
    detect.add_argument("--experiment", type=Path, help=f"experiment whose cost to estimate: {EXPERIMENT}")


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.suggest import suggest

    _check(options)
    methods = options.methods.split(",") if options.methods else None
    ratios = {name: getattr(options, name).split(",") for name in ("samples", "tokens")}
    curves = suggest(options.scores, methods, **ratios, seed=options.seed, kind=options.kind)
    print(curves)
    if options.detect:
        print(f"\n{_grid(options, curves.frame['method'].nunique())}")
    if options.out:
        if options.out.suffix in (".png", ".svg"):
            from prunegrid.figures.kept import write

            write(curves.frame, options.out)
        else:
            curves.write(options.out)
        print(f"\n{options.out}: written")


def _check(options: argparse.Namespace) -> None:
    """Refuse options that need one another, before anything is read."""
    if options.detect is None and (options.items or options.results or options.experiment):
        raise PrunegridError("--items, --results and --experiment", "need --detect", "also give --detect POINTS")
    if options.detect is not None:
        if options.detect <= 0:
            raise PrunegridError("--detect", f"is {options.detect:g}", "give points above 0")
        if not (options.items or options.results or options.experiment):
            fix = "give --items 850,1319, or --results DIR, or --experiment FILE"
            raise PrunegridError("--detect", "needs the benchmarks' numbers of items or measured noise", fix)


def _grid(options: argparse.Namespace, methods: int) -> str:
    """The numbers of seeds, what each finds, and what it costs."""
    from prunegrid.api.pipe_table import pipe_table
    from prunegrid.statistics.resolution import MOST, shown

    resolution, costs = _resolution(options, methods), {}
    numbers = shown(resolution)
    if options.experiment:
        costs = {seeds: _cost(options.experiment, seeds, options.scores) for seeds in numbers}
    needed = f"{resolution.needed} seeds" if resolution.needed else f"more than {MOST} seeds"
    head = ["seeds", "finds, points", *(["cells", "time", "GPU time"] if costs else [])]
    body = [[str(n), f"{resolution.detectable[n]:.1f}", *costs.get(n, [])] for n in numbers]
    parts = [
        f"## Which grid would find a difference of {options.detect:g} points?",
        f"{needed[0].upper()}{needed[1:]}. A difference is found if four tables in five would mark it, after the "
        "correction for all rows.",
        resolution.source,
        pipe_table(head, body),
    ]
    return "\n\n".join(
        [
            *parts,
            *(
                ["Time assumes jobs one after another, as `prunegrid plan` estimates it for data of this size."]
                if costs
                else []
            ),
        ]
    )


def _resolution(options: argparse.Namespace, methods: int) -> "Resolution":
    from prunegrid.experiment.locate import find
    from prunegrid.plan.counts import benchmark_size
    from prunegrid.statistics.resolution import expected, measured

    if options.results:
        return measured(options.detect, options.results)
    rows, items = max(1, methods - 1), _items(options.items or "")
    if options.experiment:
        experiment, root = find(options.experiment)
        rows = max(1, len(experiment.variants) - 1)
        items = items or [benchmark_size(experiment, name, root).items for name in experiment.evaluation.benchmarks]
    return expected(options.detect, items, rows)


def _items(text: str) -> list[int]:
    counts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) for part in counts):
        raise PrunegridError("--items", f"is {text}", "give a number for each benchmark: --items 850,1319")
    return [int(part) for part in counts]


def _cost(path: Path, seeds: int, scores: Path) -> list[str]:
    """Cells, time and GPU time of the experiment with so many seeds, on data of the size of `scores`."""
    from prunegrid.core.text import duration
    from prunegrid.experiment import grid
    from prunegrid.experiment.locate import find
    from prunegrid.plan.calibrate import calibrate
    from prunegrid.plan.jobs import jobs, read_basis
    from prunegrid.scoring.reader import ScoresFolder

    experiment, root = find(path)
    experiment = experiment.model_copy(update={"seeds": list(range(seeds))})
    samples = ScoresFolder(scores).read_samples()
    tokens = samples.response_tokens + (0 if samples.prompt_tokens is None else samples.prompt_tokens)
    planned = jobs(read_basis(experiment, root, len(samples), max(1, round(float(tokens.mean())))))
    rates = calibrate(root, planned, experiment.device)
    gpu = sum(map(rates.gpu_seconds, planned))
    cells = len(grid.cells(experiment))
    return [str(cells), duration(sum(map(rates.seconds, planned))), duration(gpu) if gpu else "0"]
