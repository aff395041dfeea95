"""How many seeds find a difference, from the noise of a finished grid."""

from pathlib import Path

from prunegrid.statistics import deltas
from prunegrid.statistics.power import detectable
from prunegrid.statistics.resolution import measured
from support import table_frames
from support.errors import refused


def finish(root: Path, seeds: int, sd: float) -> None:
    """A deltas file of differences that spread by `sd` points from seed to seed, with hardly any item noise."""
    rows = table_frames.deltas(table_frames.delta("q0", "Avg", 9, **table_frames.noise(seeds, sd)))
    deltas.write(rows, root / "deltas.parquet")


def test_measured_seeds_are_the_least_that_find_the_difference(tmp_path: Path) -> None:
    finish(tmp_path, 3, 2.0)
    resolution = measured(2.0, tmp_path)
    frame = deltas.read(tmp_path / "deltas.parquet")
    needed = resolution.needed
    assert needed and 3 < needed < 30
    assert (
        float(detectable(frame, seeds=needed)["mde"].iloc[0])
        <= 2
        < float(detectable(frame, seeds=needed - 1)["mde"].iloc[0])
    )
    assert "over 3 seeds" in resolution.source


def test_results_of_two_seeds_do_not_say_how_runs_differ(tmp_path: Path) -> None:
    finish(tmp_path, 2, 2.0)
    with refused(tmp_path, "fewer than 3", fix="--items"):
        measured(2.0, tmp_path)
