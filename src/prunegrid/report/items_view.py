"""The items of the page: what two rows answered to each, and how often only one of them was right.

All of it is in the page while it is small. Of a larger grid answers go to pages of their own, one for each model and
benchmark, then prompts, too, then scores.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.report.item_tables import ItemTable, read_item_table
from prunegrid.report.page import View
from prunegrid.results import collect
from prunegrid.table.document import Row

if TYPE_CHECKING:
    from prunegrid.report.build import Source

LIMIT = 6_000_000  # bytes of the page that items may take
MOVED_FIRST = ("answers", "prompts", "scores")
HELPERS = ("paired", "item_data", "item_parts")
Key = tuple[str, str]
"""A model and a benchmark."""


def view(source: "Source") -> View | None:
    """The view `items`; None if no benchmark of a cell is done."""
    cells: dict[Key, list[Cell]] = {}
    for cell, name in collect.done(source.data.experiment, source.data.frame):
        if name != AVERAGE:
            cells.setdefault((cell.model, name), []).append(cell)
    root, experiment = source.data.directory, source.data.experiment
    tables = {key: read_item_table(root, experiment, group, key[1], source.texts) for key, group in cells.items()}
    return _view(source, tables) if tables else None


def _view(source: "Source", tables: dict[Key, ItemTable]) -> View:
    """The view with what fits; the rest is in `pages`."""
    moved = _moved(tables)
    blocks = [_named_blocks(number, table, tables) for number, table in enumerate(tables.values())]
    folder = f"{source.path.stem}-items"
    files = {key: f"{folder}/{number}-{_safe(*key)}.html" for number, key in enumerate(tables)} if moved else {}
    described = [_described(number, key, tables, files.get(key)) for number, key in enumerate(tables)]
    index = {"rows": _rows(source), "start": _start(source), "moved": moved, "tables": described}
    stay = {name: block for each in blocks for (kind, name), block in each.items() if kind not in moved}
    side_index = {**index, "home": quote(f"../{source.path.name}")}
    pages = {
        file: View("items", f"{source.table.title}: {' · '.join(key)}", side_index, _unkinded(block), HELPERS)
        for (key, file), block in zip(files.items(), blocks, strict=False)
    }
    return View("items", "Items", {**index, "home": ""}, stay, HELPERS, pages)


def _moved(tables: dict[Key, ItemTable]) -> list[str]:
    """The kinds of blocks that are in no main page, so that it stays below `LIMIT`."""
    blocks: dict[tuple[str, str], str] = {}
    for number, table in enumerate(tables.values()):
        blocks |= _named_blocks(number, table, tables)
    moved: list[str] = []
    while sum(len(block) for (kind, _), block in blocks.items() if kind not in moved) > LIMIT:
        moved.append(MOVED_FIRST[len(moved)])
    return moved


def _named_blocks(number: int, table: ItemTable, tables: dict[Key, ItemTable]) -> dict[tuple[str, str], str]:
    """A table's blocks by kind and name; models that were asked the same share the block of their prompts."""
    owners = {"prompts": _prompts_owner(table, tables)}
    return {
        (kind, f"{owners.get(kind, number)}-{kind}-{name}"): block
        for kind, blocks in table.blocks.items()
        for name, block in blocks.items()
    }


def _prompts_owner(table: ItemTable, tables: dict[Key, ItemTable]) -> int:
    return next(n for n, other in enumerate(tables.values()) if other.blocks["prompts"] == table.blocks["prompts"])


def _unkinded(blocks: dict[tuple[str, str], str]) -> dict[str, str]:
    return {name: block for (_, name), block in blocks.items()}


def _described(number: int, key: Key, tables: dict[Key, ItemTable], file: str | None) -> dict[str, Any]:
    """A table in the index; with `page`, the path of its own page, and about how large that is."""
    table = tables[key]
    facts = {"model": key[0], "benchmark": key[1], "prompts_of": _prompts_owner(table, tables), **table.facts}
    facts["columns"] = [[cell.budget.name if cell.budget else "", cell.variant, cell.seed] for cell in table.cells]
    facts["left_out"] = [f"{cell.path}: {reason}" for cell, reason in table.left_out.items()]
    return facts | ({"page": quote(file), "size": table.size} if file else {})


def _rows(source: "Source") -> list[dict[str, str]]:
    """The table's rows, in its order; reference cells have no budget."""
    rows = {}
    for group in source.table.groups:
        for row in group.rows:
            budget, title = _budget(group.budget, row), "" if row.kind == "reference" else group.title
            line = {"budget": budget, "title": title, "variant": row.variant, "label": _label(row)}
            rows[budget, row.variant] = line
    return list(rows.values())


def _budget(budget: Any, row: Row) -> str:
    return budget.name if budget and row.kind != "reference" else ""


def _label(row: Row) -> str:
    if row.sample == row.variant and row.token:
        return f"{row.variant} ({row.token})"
    return " + ".join(filter(None, (row.sample, row.token)))


def _start(source: "Source") -> dict[str, str]:
    """The rows that are compared where the address does not say: a joint pruner's or the first, with its baseline."""
    baselines = collect.baselines(source.data.experiment)
    pairs = [
        (row.kind == "joint", group, row.variant)
        for group in source.table.groups
        for row in group.rows
        if baselines.get(row.variant, row.variant) != row.variant
    ]
    if not pairs:
        return {}
    _, group, variant = max(pairs, key=lambda pair: pair[0])
    return {"budget": group.budget.name if group.budget else "", "a": variant, "b": baselines[variant]}


def _safe(*names: str) -> str:
    return "-".join("".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in n) for n in names)
