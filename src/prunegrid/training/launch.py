"""Run one training job from its inputs to its model and manifest, which are written whole or not at all."""

import shutil
import time
from pathlib import Path
from typing import Any

from prunegrid.core import file_sums
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, replacing, write_json
from prunegrid.core.parts import find_parts
from prunegrid.experiment import layout
from prunegrid.models import check_complete, check_device, check_unchanged, file_sizes, weights_digest
from prunegrid.scoring.reader import ScoresFolder, check_digests
from prunegrid.selection.summary import prune_again
from prunegrid.training import checkpoints, failures, multinode, out_of_memory
from prunegrid.training.job import Job, Order
from prunegrid.training.optional_scores import file_needs
from prunegrid.training.processes import run_ranks

REPORT = "report.json"
DYNAMIC = (layout.SELECTION_LOG, layout.SUMMARY)


def train(
    job: Job, out: Path, manifest: Path, model_digests: dict[str, str] | None = None, root: Path | None = None
) -> dict[str, Any]:
    """Train, and write the model's folder `out` (adapter or full) and `manifest` (`training.json`), which is returned.

    A dynamic cell's `selection_log.parquet` and `selection.json` are written beside the manifest. Checkpoints are in
    `checkpoints` there until the job has succeeded; a job that was killed resumes from the newest of its own.
    Raises `PrunegridError` if devices or nodes are missing, the scores or the selection belong to another model or
    data set, another job trains this cell, or a rank fails. `root`, a results folder, is what the names of
    `inputs` are relative to.
    """
    digests = _check_inputs(job, model_digests or {})
    inputs = {"inputs": file_sums.relative_sums(_check_files(job), root or manifest.parent)}
    identity = job.identity(digests, ScoresFolder(job.scores).extra_digests(file_needs(job)))
    folder = manifest.with_name(layout.CHECKPOINTS)
    with checkpoints.cell_lock(folder) as lock:
        _remove_unfinished(folder, out)
        shared_by_nodes = folder if job.runtime.nodes > 1 else None
        with replacing(out) as temporary, checkpoints.scratch(shared_by_nodes) as scratch:
            temporary.mkdir(parents=True)
            order = Order(
                job=job,
                out=temporary,
                checkpoints=folder,
                reports=manifest.with_name("tensorboard"),
                error=scratch / "error.json",
                identity=identity,
                resume=checkpoints.newest(folder, identity),
                **out_of_memory.reductions(folder, identity),
            )
            if order.resume is None:
                shutil.rmtree(order.reports, ignore_errors=True)
            start = time.monotonic()
            status = run_ranks(order, scratch / "order.json", lock)
            if status.code:
                raise failures.job_error(order, status)
            report = _collect(order, out, manifest, inputs | {"seconds": round(time.monotonic() - start, 2)})
            checkpoints.sync_all(temporary)
        shutil.rmtree(folder)
    return report


def _check_inputs(job: Job, model_digests: dict[str, str]) -> dict[str, str]:
    """The digests that the scores record, once everything that the job needs has been checked."""
    check_device(job.device, job.ranks_per_node)
    multinode.check_allocation(job.runtime.nodes)
    check_complete(job.model)
    check_unchanged(job.model)
    scores = ScoresFolder(job.scores)
    scores.check_digests(model_digests)
    if job.selection is not None:
        summary = job.selection.with_suffix(".json")
        check_digests(summary, read_json(summary).get("digests", {}), scores.digests, "remove it and prune again")
    return scores.digests


def _check_files(job: Job) -> file_sums.Sums:
    """SHA-256 of the files that the job reads, once they are those that were recorded when they were made."""
    sums = ScoresFolder(job.scores).check_files(file_needs(job))
    if job.selection is None:
        return sums
    summary = job.selection.with_suffix(".json")
    parts = find_parts(job.selection)
    selection = file_sums.hash_files([*parts, summary])
    digest, recorded = file_sums.combine_sums([selection[part] for part in parts]), read_json(summary).get("selection")
    if recorded not in (None, digest):
        raise file_sums.change_error(job.selection, digest, recorded, summary, prune_again(summary))
    return sums | selection


def _remove_unfinished(folder: Path, out: Path) -> None:
    """Remove what an attempt that was killed left half-written."""
    checkpoints.remove_unfinished(folder)
    for unfinished in out.parent.glob(f".{out.name}.*.tmp"):
        shutil.rmtree(unfinished)


def _collect(order: Order, out: Path, manifest: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Move what the ranks wrote beside the model to its place; write and return `training.json`, `facts` included.

    The model is still where the ranks wrote it, and will be the folder `out`.
    """
    report: dict[str, Any] = read_json(order.out / REPORT)
    for name in (REPORT, "training_args.bin"):
        (order.out / name).unlink(missing_ok=True)
    for name in DYNAMIC:
        if (order.out / name).exists():
            (order.out / name).replace(manifest.with_name(name))
    report |= facts | {"digests": order.identity["digests"], "selection": order.identity["selection"]}
    sizes = file_sizes(order.out)
    sums = file_sums.hash_files(order.out / name for name in sizes)
    report |= {"weights": weights_digest(order.out, sums), "files": sizes}
    written = [file for name in DYNAMIC if order.job.pruning and (file := manifest.with_name(name)).exists()]
    own = {out / file.name: digest for file, digest in sums.items()} | file_sums.hash_files(written)
    report |= {"sha256": file_sums.relative_sums(own, manifest.parent)}
    try:
        write_json(manifest, report)
    except OSError as error:
        saved = checkpoints.saved_progress(order.checkpoints, order.identity)
        raise PrunegridError(manifest, f"could not be written ({error.strerror}); {saved}", failures.RESUMES) from error
    return report
