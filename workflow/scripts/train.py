"""Fine-tune the base model on one cell's selection, or prune every mini-batch while it is trained."""

from pathlib import Path

from prunegrid.core.files import read_json
from prunegrid.core.step import step
from prunegrid.experiment.training import Runtime, Training
from prunegrid.models.remote_code import allow_code, trust_reason
from prunegrid.selection.summary import check_cell
from prunegrid.training import Job, train

# From the config, not from params: a change of runtime or trust must not run finished jobs again.
trust = trust_reason(snakemake.config, snakemake.wildcards.model)
with step(snakemake.log[0]), allow_code(trust, snakemake.input.model):
    selection = snakemake.input.get("selection") or None
    job = Job(
        model=snakemake.input.model,
        scores=Path(snakemake.input.tokens).parent,
        # Of a selection in parts, the folder; its summary is among the inputs, too.
        selection=selection if selection is None or isinstance(selection, str) else Path(selection[0]).parent,
        pruning=snakemake.params.pruning,
        shuffled=snakemake.params.shuffled,
        training=Training.model_validate(snakemake.params.training),
        runtime=Runtime.from_config(snakemake.config),
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
    if job.selection:
        check_cell(job.selection.with_suffix(".json"), snakemake.wildcards.model, snakemake.wildcards.cell)
    manifest = read_json(Path(snakemake.input.manifest))
    root = job.scores.parents[1]
    train(job, Path(snakemake.output.model), Path(snakemake.output.manifest), manifest["digests"], root)
