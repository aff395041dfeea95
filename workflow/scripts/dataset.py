"""Bring the training set to the contract's Parquet."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset

with step(snakemake.log[0]):
    ref = Dataset.model_validate(snakemake.params.dataset)
    # The input of a folder or glob is its files; the path says which of them are the split's.
    local = ref.path or snakemake.input.get("source") or None
    write_dataset(ref, local, Path(snakemake.output.data), Path(snakemake.output.counts))
