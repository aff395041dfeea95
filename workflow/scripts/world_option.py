"""Draw a data set of the sandbox that only some experiments read."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.sandbox.generate import write_optional

with step(snakemake.log[0]):
    answers = snakemake.params.get("answers", "short")
    write_optional(Path(snakemake.output[0]), snakemake.wildcards.optional, snakemake.params.seed, answers)
