"""What pruners keep by ratio of samples: trained tokens, loss, entropy, clusters; a panel each, a line a method."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from prunegrid.core import files
from prunegrid.figures import style
from prunegrid.figures.curves import DASHES, MARKERS

PANELS = {
    "token_share": "Trained tokens (%)",
    "nll_share": "Loss of trained tokens (%)",
    "entropy_share": "Entropy of trained tokens (%)",
    "cluster_share": "Clusters with a kept sample (%)",
}


def draw(frame: pd.DataFrame) -> Figure:
    """The curves of the first token ratio of `frame`, the rows of `prunegrid suggest`."""
    rows = frame[frame["token_ratio"] == frame["token_ratio"].iloc[0]]
    panels = [column for column in PANELS if column in rows]
    figure = Figure(figsize=(style.PAGE, 2.6), layout="constrained")
    for axis, column in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for number, (method, part) in enumerate(rows.groupby("method", sort=False)):
            look = {
                "linestyle": DASHES[number % len(DASHES)],
                "marker": MARKERS[number % len(MARKERS)],
                "markersize": 2.8,
            }
            colour = style.SERIES[number % len(style.SERIES)]
            axis.plot(100 * part["sample_ratio"], 100 * part[column], color=colour, label=str(method), **look)
        axis.set_xlabel("Samples requested (%)")
        axis.set_ylabel(PANELS[column])
    handles, _ = figure.axes[0].get_legend_handles_labels()
    style.legend(figure, handles, columns=4)
    return figure


def write(frame: pd.DataFrame, file: Path) -> None:
    """Write the figure as PNG or SVG, as the file's ending says, whole or not at all."""
    ending = file.suffix.removeprefix(".")
    with style.styled():
        figure = draw(frame)
        style.freeze(figure)
        with files.replacing(file) as temporary:
            figure.savefig(temporary, format=ending, dpi=style.DPI, metadata=style.METADATA[ending])
