"""The text of a plan: the grid, jobs by rule and by budget, what stays on disk, and what the estimate rests on."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from textwrap import fill

from prunegrid.core.text import byte_size, counted, duration, enumerated
from prunegrid.experiment import grid
from prunegrid.experiment.names import REFERENCES
from prunegrid.plan import disk, gpu_rates, gpus, workload
from prunegrid.plan.calibrate import Rates, calibrate, rule_family
from prunegrid.plan.jobs import SHARED, Basis, PlannedJob, jobs
from prunegrid.plan.memory import gpu_peak_mb, peak_mb


def report(basis: Basis) -> str:
    """The whole plan."""
    all_jobs = jobs(basis)
    level = calibrate(basis.root, all_jobs, basis.experiment.device)
    parts = [
        f"{_grid_sentence(basis)}\n{_total_sentence(basis, all_jobs, level)}",
        _table(_rule_rows(basis, all_jobs, level), "rule", ["disk", "memory a job", "memory a GPU"]),
        _table(_group_rows(all_jobs, level), "part", []),
        _time_note(basis),
        "\n".join(_retention_lines(basis)),
        "\n".join(_basis_lines(basis, all_jobs, level)),
    ]
    return "\n\n".join(parts)


def _grid_sentence(basis: Basis) -> str:
    """`sandbox (cpu): 1 model, 1 budget, 18 variants and 1 seed make 18 cells; with 1 zero-shot and 1 full, ...`."""
    experiment, cells = basis.experiment, grid.cells(basis.experiment)
    factors = {
        "model": len(experiment.models),
        "budget": len(experiment.grid_budgets),
        "variant": len(experiment.variants),
        "seed": len(experiment.seeds),
    }
    product = enumerated([counted(count, name) for name, count in factors.items()])
    references = Counter(cell.variant for cell in cells if not cell.budget)
    suffix = f"with {enumerated([f'{count} {name}' for name, count in references.items()])}, " if references else ""
    pruned = counted(sum(cell.pruned for cell in cells), "cell")
    return (
        f"{experiment.experiment} ({experiment.device}): {product} make {pruned}; "
        f"{suffix}{len(cells)} are evaluated on {counted(len(basis.benchmarks), 'benchmark')} each."
    )


def _total_sentence(basis: Basis, all_jobs: list[PlannedJob], level: Rates) -> str:
    """What is to do, in jobs, time and disk."""
    _, done, _, _, hours, gpu_hours = _sums(all_jobs, level)
    space = byte_size(sum(_bytes_by_rule(basis).values()))
    gpus_too = f", and holds GPUs for {gpu_hours}" if gpu_hours else ""
    to_do = (
        f"the rest takes {hours} one after another{gpus_too}" if int(done) < len(all_jobs) else "nothing is left to do"
    )
    return f"{done} of {counted(len(all_jobs), 'job')} are done; {to_do}. The results take {space} on disk."


def _rule_rows(basis: Basis, all_jobs: list[PlannedJob], level: Rates) -> Iterator[list[str]]:
    experiment, disk_bytes = basis.experiment, _bytes_by_rule(basis)
    for rule in dict.fromkeys(job.rule for job in all_jobs):
        members = [job for job in all_jobs if job.rule == rule]
        gpu = gpu_peak_mb(rule, experiment, root=basis.root)
        memory = peak_mb(rule, experiment, root=basis.root) * 2**20
        space = byte_size(disk_bytes[rule_family(rule)]) if rule_family(rule) in disk_bytes else ""
        yield [rule, *_sums(members, level), space, byte_size(memory), byte_size(gpu * 2**20) if gpu else ""]
    total = sum(disk_bytes.values())
    yield ["total", *_sums(all_jobs, level), byte_size(total), "", ""]


def _bytes_by_rule(basis: Basis) -> dict[str, int]:
    """What each rule leaves for good, under the experiment's own retention."""
    return {
        "model": disk.base_model_bytes(basis),
        "gather_scores": disk.score_bytes(basis),
        "train": disk.retained_weight_bytes(basis, basis.experiment.runtime.retention),
        "evaluate": sum(disk.cell_bytes(basis, cell) for cell in grid.cells(basis.experiment)),
    }


def _group_rows(all_jobs: list[PlannedJob], level: Rates) -> Iterator[list[str]]:
    groups: dict[str, list[PlannedJob]] = defaultdict(list)
    for job in all_jobs:
        groups[job.group].append(job)
    for name in sorted(groups, key=lambda name: (name == SHARED, name in REFERENCES)):
        yield [name, *_sums(groups[name], level)]
    yield ["total", *_sums(all_jobs, level)]


def _sums(members: list[PlannedJob], level: Rates) -> list[str]:
    """Number of jobs, how many are done, time on machines and on GPUs of all, and of those that remain."""
    to_do = [job for job in members if not job.done]
    uses_gpus = any(job.gpus for job in members)
    times = []
    for part in (members, to_do):
        times.append(duration(sum(level.seconds(job) for job in part)))
        times.append(duration(sum(level.gpu_seconds(job) for job in part)) if uses_gpus else "")
    return [str(len(members)), str(len(members) - len(to_do)), *times]


def _table(rows: Iterator[list[str]], label: str, extra: list[str]) -> str:
    """The columns that have a value in any row, aligned."""
    head = [label, "jobs", "done", "time", "GPU time", "to do: time", "GPU time ", *extra]
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = ([cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in zip(*columns, strict=True))
    return "\n".join("  ".join([row[0].strip().ljust(widths[0]), *row[1:]]).rstrip() for row in lines)


def _time_note(basis: Basis) -> str:
    text = "Times assume that jobs run one after another; N jobs in parallel take 1/N of them, if the machines fit N."
    if basis.experiment.device == "cuda":
        ranks = basis.experiment.training.ranks
        text += f"\nGPU time: a training holds {ranks} GPU(s), a scoring or evaluation one."
        if (sharers := basis.experiment.runtime.cells_per_gpu) > 1:
            text += (
                f"\n{sharers} jobs of one rank share a GPU, which start-up and Python leave idle most of the time:\n"
                f"1/{sharers} of a job's time is GPU time, or its compute time at the default rate if that is longer."
            )
    return text


def _retention_lines(basis: Basis) -> Iterator[str]:
    """The weights that stay, by retention, and what training needs meanwhile."""
    experiment = basis.experiment
    cells = [cell for cell in grid.cells(experiment) if cell.trained]
    yield f"Weights kept of {len(cells)} trained cells ({experiment.training.method}), by runtime.retention:"
    for retention in disk.RETENTIONS:
        mark = "   <- this experiment's" if retention == experiment.runtime.retention else ""
        yield f"  {retention:<9} {byte_size(disk.retained_weight_bytes(basis, retention)):>8}{mark}"
    if experiment.training.method == "lora":
        yield f"  ({byte_size(disk.whole_model_bytes(experiment, basis))} if each were a whole model in bf16)"
    largest = max(disk.weight_bytes(basis, model) for model in experiment.models)
    yield (
        f"Temporary, for each running training: {byte_size(disk.checkpoint_bytes(basis))} "
        f"(at most {disk.CHECKPOINTS} checkpoints)"
        + ("" if grid.keeps_weights(experiment) else f"; for each cell until it is evaluated: {byte_size(largest)}")
    )


def _basis_lines(basis: Basis, all_jobs: list[PlannedJob], level: Rates) -> Iterator[str]:
    yield "The estimate is based on:"
    for name, size in basis.sizes.items():
        yield f"  model   {name}: {size.count:,} parameters ({size.origin})"
    for name, tokens in basis.tokens.items():
        yield f"  tokens  {name}: {tokens.samples:,} samples, {tokens.total:,} tokens ({tokens.source})"
    items = ", ".join(
        f"{name} {size.items:,}{' (assumed)' if size.assumed else ''}" for name, size in basis.benchmarks.items()
    )
    yield f"  items   {items}"
    yield from gpus.gpu_lines(basis.experiment, basis.root)
    rules = list(dict.fromkeys(rule_family(job.rule) for job in all_jobs))
    measured = [f"{rule} {level.factors[rule]:.2f} ({level.files[rule]})" for rule in rules if rule in level.factors]
    if measured:
        yield _rate_line(f"times the default seconds (number of benchmark files): {', '.join(measured)}")
    if defaults := [rule for rule in rules if rule not in level.factors]:
        cuda = basis.experiment.device == "cuda"
        counts = [size.count for size in basis.sizes.values()]
        rate = gpu_rates.description(counts) if cuda else workload.CPU_DESCRIPTION
        yield _rate_line(f"defaults ({rate}; a machine may be 2 or 3 times faster or slower): {', '.join(defaults)}")


def _rate_line(text: str) -> str:
    return fill(text, 118, initial_indent="  rates   ", subsequent_indent=" " * 10)
