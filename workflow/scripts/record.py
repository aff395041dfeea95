"""Leave the validated config beside the results: `prunegrid table` needs nothing else."""

from pathlib import Path

from prunegrid.core.files import write_json
from prunegrid.core.step import step

with step(snakemake.log[0]):
    write_json(Path(snakemake.output.experiment), snakemake.params.experiment)
