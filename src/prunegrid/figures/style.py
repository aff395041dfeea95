"""The style of figures, and writing them: the same numbers give the same bytes, regardless of the machine's settings.

Colours are Okabe and Ito's (Color Universal Design, 2008), distinguishable with every common colour blindness.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from prunegrid.core import files
from prunegrid.figures.names import FORMATS

COLUMN, PAGE = 3.3, 7.0
SMALL, NORMAL = 7, 8
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#808080"
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
DPI = 200
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "axes.labelsize": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "prunegrid",
}
METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's defaults with `SETTINGS`, ignoring any matplotlibrc; restores the previous settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def freeze(figure: Figure) -> None:
    """Lay out now and not again, so that positions computed in the figure stay valid."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `folder/name` in every format, each file whole or not at all."""
    freeze(figure)
    paths = [folder / f"{name}.{ending}" for ending in FORMATS]
    for path, ending in zip(paths, FORMATS, strict=True):
        with files.replacing(path) as temporary:
            figure.savefig(temporary, format=ending, dpi=DPI, metadata=METADATA[ending])
    return paths


def nothing(reason: str) -> Figure:
    """A figure with the reason why there is nothing to show."""
    figure = Figure(figsize=(COLUMN, 1.0))
    figure.text(0.5, 0.5, fill(f"nothing to show: {reason}", 52), ha="center", va="center", fontsize=NORMAL)
    return figure
