"""Make a base model's folder: download and convert it, link it, or pre-train it on the sandbox's text."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.experiment.model import Source
from prunegrid.models import materialise

with step(snakemake.log[0]):
    text = snakemake.input.get("world")
    materialise(
        snakemake.wildcards.model,
        Source.model_validate(snakemake.params.source),
        Path(snakemake.output.folder),
        Path(snakemake.output.manifest),
        Path(text).parents[3] if text else None,
        threads=snakemake.threads,
    )
