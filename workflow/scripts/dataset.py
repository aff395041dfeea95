"""Bring the training set to the contract's Parquet."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.sections import Dataset

with step(snakemake.log[0]):
    write_dataset(
        Dataset.model_validate(snakemake.params.dataset),
        snakemake.input.get("source") or None,
        Path(snakemake.output.data),
        Path(snakemake.output.counts),
    )
