"""One response as each token pruner leaves it: the paper's Figure 1b (arXiv 2509.23873) with a real sample.

Kept tokens are black on a pale ground, pruned ones grey and struck through.
"""

from dataclasses import dataclass
from functools import cache
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from prunegrid.figures import response, style
from prunegrid.figures.model_results import ModelResults, percent
from prunegrid.figures.response import LONGEST, Response
from prunegrid.table.labels import label

FAMILY = "DejaVu Sans Mono"
LABEL_WIDTH, LINE, GAP, MARGIN = 1.0, 0.165, 0.09, 0.06
CHARACTER = 0.602 * style.SMALL / 72
WIDTH = int((style.PAGE - LABEL_WIDTH - MARGIN) / CHARACTER)
RETURN, TABULATOR = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}", "\N{RIGHTWARDS ARROW TO BAR}"
VISIBLE = str.maketrans({"\n": RETURN, "\t": TABULATOR, "\r": ""})
PROMPT_LINES = 2
GROUND, PALE = "#CFE6F5", "0.55"


@dataclass(frozen=True)
class Piece:
    """A token's place: its position in the response, its line, its first column, its visible text."""

    position: int
    line: int
    column: int
    text: str


def draw(results: ModelResults) -> Figure:
    """A block of lines per pruner, all of the same response at the experiment's first budget."""
    sample = response.read(results.root, results.experiment, results.model)
    pieces = lay_out(sample.texts[:LONGEST])
    lines = 1 + max(piece.line for piece in pieces)
    blocks = [lines if isinstance(positions, set) else 1 for positions in sample.selections.values()]
    prompt = _prompt_end(sample.prompt)
    height = LINE * (1 + len(prompt) + sum(blocks)) + GAP * (len(blocks) + 1) + 2 * MARGIN
    figure = Figure(figsize=(style.PAGE, height))
    top = MARGIN
    for number, line in enumerate(prompt):
        _words(figure, top, "" if number else "Prompt", line)
        top += LINE
    top += GAP
    for (name, positions), size in zip(sample.selections.items(), blocks, strict=True):
        _block(figure, top, label(name), pieces, positions)
        top += size * LINE + GAP
    _words(figure, top, "", _note(sample, results))
    return figure


def _prompt_end(prompt: str) -> list[str]:
    """The last lines of the prompt, which hold the question."""
    lines = wrap(visible(prompt.strip().replace("\n", " \n ")), int(1.1 * WIDTH)) or [""]
    cut = "\N{HORIZONTAL ELLIPSIS} " if len(lines) > PROMPT_LINES else ""
    last = lines[-PROMPT_LINES:]
    return [cut + last[0], *last[1:]]


def lay_out(texts: list[str]) -> list[Piece]:
    """Tokens in sequence; lines break between tokens, and a token longer than a line is cut."""
    pieces, line, column = [], 0, 0
    for position, text in enumerate(texts):
        plain = visible(text)[:WIDTH]
        if column + len(plain) > WIDTH:
            line, column = line + 1, 0
        pieces.append(Piece(position, line, column, plain))
        column += len(plain)
    return pieces


def visible(text: str) -> str:
    """The text on one line: line breaks as arrows, characters that the font lacks as squares."""
    return "".join(c if _has_glyph(c) else "\N{WHITE SQUARE}" for c in text.translate(VISIBLE))


@cache
def _has_glyph(character: str) -> bool:
    font = get_font(findfont(FontProperties(family=FAMILY)))
    return bool(font.get_char_index(ord(character)))


def _block(figure: Figure, top: float, label: str, pieces: list[Piece], positions: set[int] | str) -> None:
    """One pruner's lines, `top` inches below the figure's upper edge."""
    if isinstance(positions, str):
        _words(figure, top, label, f"not scored: {positions}")
        return
    _words(figure, top, label, "")
    for piece in pieces:
        _token(figure, top + LINE * piece.line, piece, piece.position in positions)


def _token(figure: Figure, top: float, piece: Piece, is_kept: bool) -> None:
    bare = piece.text.strip(" ")
    start = piece.column + len(piece.text) - len(piece.text.lstrip(" "))
    if not bare:
        start, bare = piece.column, ""
    width, height = figure.get_size_inches()
    start_x, end_x = (
        (LABEL_WIDTH + CHARACTER * column) / width for column in (piece.column, piece.column + len(piece.text))
    )
    inset = 0.008 / width
    bottom, middle = 1 - (top + LINE - 0.012) / height, 1 - (top + LINE / 2) / height
    if is_kept:
        size = (end_x - start_x - 2 * inset, (LINE - 0.024) / height)
        figure.add_artist(Rectangle((start_x + inset, bottom), *size, facecolor=GROUND, linewidth=0))
    else:
        figure.add_artist(Line2D([start_x + inset, end_x - inset], [middle, middle], color=PALE, linewidth=0.7))
    look: dict[str, Any] = {"family": FAMILY, "fontsize": style.SMALL, "color": "black" if is_kept else PALE}
    figure.text((LABEL_WIDTH + CHARACTER * start) / width, middle, bare, va="center_baseline", **look)


def _words(figure: Figure, top: float, label: str, text: str) -> None:
    """A label and, to its right, a line of plain text."""
    width, height = figure.get_size_inches()
    y = 1 - (top + LINE / 2) / height
    figure.text(MARGIN / width, y, label, va="center_baseline", fontsize=style.SMALL, weight="bold")
    figure.text(LABEL_WIDTH / width, y, text, va="center_baseline", fontsize=style.SMALL)


def _note(sample: Response, results: ModelResults) -> str:
    """The caption: how many tokens are shown, the ratio, and how Q-Tuning treats the sample."""
    n = len(sample.texts)
    part = f"the first {LONGEST} of {n}" if n > LONGEST else f"{n}"
    budget = results.experiment.grid_budgets[0]
    rule = {2: "Q2 to Q-Tuning", 4: "Q4 to Q-Tuning, so kept whole", 0: "not kept by Q-Tuning"}[sample.treated_as]
    return (
        f"Sample {sample.sample_id}: {part} response tokens, {percent(budget.token_ratio)} kept; {rule}. "
        "On blue: kept. Struck through: pruned."
    )
