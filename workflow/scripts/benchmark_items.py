"""Make one benchmark's items a local file, so that evaluation needs no network."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.data.datasets import write_benchmark
from prunegrid.experiment.sections import DataRef

with step(snakemake.log[0]):
    write_benchmark(
        DataRef.model_validate(snakemake.params.data),
        snakemake.input.get("source") or None,
        Path(snakemake.output.data),
    )
