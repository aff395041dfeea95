"""Leave the validated config beside the results: `prunegrid table` needs nothing else."""

from pathlib import Path

from prunegrid.io import write_json
from prunegrid.step import step

with step(snakemake.log[0]):
    write_json(Path(snakemake.output.experiment), snakemake.params.experiment)
