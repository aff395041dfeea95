"""Gather all cells' scores, and their differences item by item, into two tidy files."""

from pathlib import Path

from prunegrid.step import step

with step(snakemake.log[0]):
    from prunegrid import results
    from prunegrid.statistics.deltas import deltas
    from prunegrid.table.against import contrasts
    from prunegrid.table.build import write_both

    directory = Path(snakemake.output.results).parent
    experiment = results.experiment_of(directory)
    frame = results.collect(experiment, directory)
    write_both(directory, frame, deltas(frame, directory, contrasts(experiment, frame)), directory)
