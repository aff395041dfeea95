"""The style of figures, and writing them: the same numbers give the same bytes, regardless of the machine's settings.

Colours are Okabe and Ito's (Color Universal Design, 2008), distinguishable with every common colour blindness.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from prunegrid.core import files
from prunegrid.figures.model_results import SEPARATOR
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
DARK = "0.45"
TAN, BAND = "#F0C08A", "#E3ECFA"  # a pale orange; the ground of Q-Tuning's rows in the table, too
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
DPI = 200
TITLE_LINE, LEGEND_GAP = 0.15, 0.46
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


def width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """The width of a line of text in inches."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    points, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(points) / 72


def wrapped(text: str, inches: float, size: float = SMALL, weight: str = "normal") -> str:
    """The text in lines of at most `inches`, broken at spaces and after `-+_/`; a longer word where it must be."""
    return _fill(re.split(r"(?<=[ +\-_/])", text), inches, size, weight)


def _fill(words: Sequence[str], inches: float, size: float, weight: str) -> str:
    """The words, which end in their spaces, in lines of at most `inches`."""
    lines = [""]
    for word in words:
        if width((lines[-1] + word).rstrip(), size, weight) <= inches:
            lines[-1] += word
        elif width(word.rstrip(), size, weight) <= inches:
            lines.append(word)
        else:
            lines += _pieces(word, inches, size, weight)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _pieces(word: str, inches: float, size: float, weight: str) -> list[str]:
    """The word in pieces of at most `inches`."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and width(pieces[-1] + letter, size, weight) > inches:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def heading_lines(text: str, inches: float) -> list[str]:
    """A title in bold lines that fit a figure of that width, broken between its parts where they fit."""
    parts = re.split(f"(?<={SEPARATOR})", text)
    lines = _fill(parts, inches - 0.15, NORMAL, "bold").split("\n")
    return [line.removesuffix(SEPARATOR.rstrip()) for line in lines]


def title(figure: Figure, text: str) -> None:
    """What the figure is of, in its upper left corner; the figure's height grows by the title's lines."""
    wide, high = figure.get_size_inches()
    lines = heading_lines(text, wide)
    figure.set_size_inches(wide, high + TITLE_LINE * len(lines))
    place: dict[str, Any] = {"x": 0.06 / wide, "ha": "left", "weight": "bold", "fontsize": NORMAL}
    figure.suptitle("\n".join(lines), **place)


def _legend_width(handles: Sequence[Any], columns: int) -> float:
    """The width of a legend of so many columns, in inches: texts, handles and the gaps between them."""
    texts = [str(handle.get_label()) for handle in handles]
    ends = [round(part[-1]) for part in np.array_split(np.arange(len(texts)), columns) if len(part)]
    starts = [0, *(end + 1 for end in ends)]
    parts = ["\n".join(texts[start : end + 1]) for start, end in zip(starts, ends, strict=False)]
    return 0.2 + sum(max(map(width, part.split("\n"))) + LEGEND_GAP for part in parts)


def legend(figure: Figure, handles: Sequence[Any], label: str = "", columns: int = 3, title_size: int = NORMAL) -> None:
    """The legend below the panels, and above it what their shared horizontal axis is, or a remark.

    It has at most so many `columns`, and no more than fit the page.
    """
    fitting = next((n for n in range(columns, 1, -1) if _legend_width(handles, n) < figure.get_figwidth()), 1)
    look: dict[str, Any] = {"handletextpad": 0.6, "handlelength": 2.6, "columnspacing": 1.2}
    look |= {"ncols": fitting, "title": label or None, "title_fontsize": title_size}
    figure.legend(handles=handles, loc="outside lower center", **look)


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
