"""One response as each token pruner leaves it: the paper's Figure 1b (arXiv 2509.23873) with a real sample.

Kept tokens are black on a pale ground, pruned ones grey and struck through.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any
from unicodedata import combining, east_asian_width

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font, get_font_names
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from prunegrid.figures import response, style
from prunegrid.figures.example import LONGEST
from prunegrid.figures.model_results import ModelResults, count
from prunegrid.figures.response import Response
from prunegrid.table.labels import label

FAMILY = "DejaVu Sans Mono"
# Fonts for what DejaVu lacks, where the machine has them; widths are those of DejaVu's columns, two for a wide letter.
OTHERS = (
    "Noto Sans Mono CJK SC",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei Mono",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)
LABEL_WIDTH, LINE, GAP, MARGIN = 1.0, 0.165, 0.09, 0.06
CHARACTER = 0.602 * style.SMALL / 72
WIDTH = int((style.PAGE - LABEL_WIDTH - MARGIN) / CHARACTER)
RETURN, TABULATOR = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}", "\N{RIGHTWARDS ARROW TO BAR}"
VISIBLE = str.maketrans({"\n": RETURN, "\t": TABULATOR, "\r": ""})
SQUARE = "\N{WHITE SQUARE}"
PROMPT_LINES = 2
WHOLE = "prunes the whole sample"
GROUND, PALE = "#CFE6F5", "0.42"


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
    selections = sample.selections | ({} if sample.treated_as else {"qtuning": WHOLE})
    blocks = [lines if isinstance(positions, set) else 1 for positions in selections.values()]
    head, prompt, note = _head(sample, results), _prompt_end(sample.prompt), _note(sample)
    height = LINE * (len(head) + len(prompt) + len(note) + sum(blocks)) + GAP * (len(blocks) + 2) + 2 * MARGIN
    figure = Figure(figsize=(style.PAGE, height))
    top = MARGIN
    for line in head:
        _words(figure, top, line, "", style.NORMAL)
        top += LINE
    top += GAP
    for number, line in enumerate(prompt):
        _words(figure, top, "" if number else "Prompt", line)
        top += LINE
    top += GAP
    for (name, positions), size in zip(selections.items(), blocks, strict=True):
        _block(figure, top, label(name), pieces, positions)
        top += size * LINE + GAP
    for line in note:
        _words(figure, top, "", line)
        top += LINE
    return figure


def _head(sample: Response, results: ModelResults) -> list[str]:
    """The title in lines: model, data, budget, and of how many samples this is one."""
    n = len(sample.texts)
    extent = f"sample {sample.sample_id} of {sample.n_samples:,}, {count(n, 'response token')}"
    return style.heading_lines(results.subject(results.experiment.grid_budgets[0], extent), style.PAGE)


def _prompt_end(prompt: str) -> list[str]:
    """The last lines of the prompt, which hold the question."""
    text = visible(prompt.strip().replace("\n", " \n "))
    lines = style.wrapped(text, style.PAGE - LABEL_WIDTH - MARGIN - 0.1).split("\n")
    cut = "\N{HORIZONTAL ELLIPSIS} " if len(lines) > PROMPT_LINES else ""
    last = lines[-PROMPT_LINES:]
    return [cut + last[0], *last[1:]]


def lay_out(texts: list[str]) -> list[Piece]:
    """Tokens in sequence; lines break between tokens, and a token longer than a line is cut."""
    pieces, line, column = [], 0, 0
    for position, text in enumerate(texts):
        plain = _cut(visible(text))
        if column + columns(plain) > WIDTH:
            line, column = line + 1, 0
        pieces.append(Piece(position, line, column, plain))
        column += columns(plain)
    return pieces


def columns(text: str) -> int:
    """The columns of a monospaced font that the text fills: a wide letter two, a mark on another none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str) -> str:
    """As much of the text as one line holds."""
    while columns(text) > WIDTH:
        text = text[: min(len(text) - 1, WIDTH)]
    return text


def visible(text: str) -> str:
    """The text on one line: line breaks as arrows, characters that no font has as squares, of the same width."""
    return "".join(c if _has_glyph(c) else SQUARE * columns(c) for c in text.translate(VISIBLE))


@cache
def _families() -> tuple[str, ...]:
    """The fonts of tokens: DejaVu's, and those of `OTHERS` that the machine has."""
    return (FAMILY, "DejaVu Sans", *(name for name in OTHERS if name in get_font_names()))


@cache
def _has_glyph(character: str) -> bool:
    fonts = (get_font(findfont(FontProperties(family=family))) for family in _families())
    return any(font.get_char_index(ord(character)) for font in fonts)


def _block(figure: Figure, top: float, label: str, pieces: list[Piece], positions: set[int] | str) -> None:
    """One pruner's lines, `top` inches below the figure's upper edge."""
    if isinstance(positions, str):
        _words(figure, top, label, positions if positions == WHOLE else f"not scored: {positions}")
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
        (LABEL_WIDTH + CHARACTER * column) / width for column in (piece.column, piece.column + columns(piece.text))
    )
    inset = 0.008 / width
    bottom, middle = 1 - (top + LINE - 0.012) / height, 1 - (top + LINE / 2) / height
    if is_kept:
        size = (end_x - start_x - 2 * inset, (LINE - 0.024) / height)
        figure.add_artist(Rectangle((start_x + inset, bottom), *size, facecolor=GROUND, linewidth=0))
    else:
        figure.add_artist(Line2D([start_x + inset, end_x - inset], [middle, middle], color=PALE, linewidth=0.7))
    look: dict[str, Any] = {"family": _families(), "fontsize": style.SMALL, "color": "black" if is_kept else PALE}
    figure.text((LABEL_WIDTH + CHARACTER * start) / width, middle, bare, va="center_baseline", **look)


def _words(figure: Figure, top: float, label: str, text: str, size: float = style.SMALL) -> None:
    """A label and, to its right, a line of plain text."""
    width, height = figure.get_size_inches()
    y = 1 - (top + LINE / 2) / height
    figure.text(MARGIN / width, y, label, va="center_baseline", fontsize=size, weight="bold")
    figure.text(LABEL_WIDTH / width, y, text, va="center_baseline", fontsize=style.SMALL)


def _note(sample: Response) -> list[str]:
    """The legend in lines: what is shown, how Q-Tuning treats the sample, and what the looks say."""
    n = len(sample.texts)
    shown = sample.texts[:LONGEST]
    rule = {2: "To Q-Tuning: Q2.", 4: "Q-Tuning: Q4, so kept whole."}.get(sample.treated_as, "")
    parts = [*filter(None, [rule]), "On blue: kept. Struck through: pruned."]
    if n > LONGEST:
        parts.insert(0, f"The first {LONGEST} tokens.")
    if n_squares := sum(not _has_glyph(c) for text in shown for c in text.translate(VISIBLE)):
        parts.append(f"{SQUARE}: {count(n_squares, 'character')} that no installed font has.")
    return style.wrapped(" ".join(parts), style.PAGE - LABEL_WIDTH - MARGIN).split("\n")
