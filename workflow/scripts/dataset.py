"""Bring the training set to the contract's Parquet."""

from pathlib import Path

from prunegrid.data import write_dataset
from prunegrid.sections import Dataset
from prunegrid.step import step

with step(snakemake.log[0]):
    write_dataset(
        Dataset.model_validate(snakemake.params.dataset),
        snakemake.input.get("source") or None,
        Path(snakemake.output.data),
        Path(snakemake.output.counts),
    )
