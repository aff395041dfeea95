"""`python quick_snakemake.py ARGUMENTS`: snakemake that asks Slurm every second; the plugin waits ever longer."""

import sys

import snakemake_executor_plugin_slurm
from snakemake.cli import main

snakemake_executor_plugin_slurm.Executor.next_seconds_between_status_checks = property(
    lambda _: 1.0, lambda _, seconds: None
)
if __name__ == "__main__":
    main(sys.argv[1:])
