"""Make one benchmark's items a local file, so that evaluation needs no network."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.data.datasets import write_benchmark
from prunegrid.experiment.sections import DataRef

with step(snakemake.log[0]):
    ref = DataRef.model_validate(snakemake.params.data)
    # The input of a folder or glob is its files; the path says which of them are the split's.
    local = ref.path or snakemake.input.get("source") or None
    write_benchmark(ref, local, Path(snakemake.output.data))
