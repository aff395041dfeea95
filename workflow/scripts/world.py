"""Generate the sandbox's world: pre-training text, training set and benchmarks, laid out like the hub."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.sandbox.generate import write_world

with step(snakemake.log[0]):
    out, answers = Path(snakemake.output.text).parents[3], snakemake.params.get("answers", "short")
    write_world(out, snakemake.params.seed, answers)
