"""Make one benchmark's items a local file, so that evaluation needs no network."""

from pathlib import Path

from prunegrid.data import write_benchmark
from prunegrid.sections import DataRef
from prunegrid.step import step

with step(snakemake.log[0]):
    write_benchmark(
        DataRef.model_validate(snakemake.params.data),
        snakemake.input.get("source") or None,
        Path(snakemake.output.data),
    )
