"""A table as one self-contained HTML page (`table.html.j2`), in the look of the published one; all text escaped."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prunegrid.table import answers, text
from prunegrid.table.document import Table
from prunegrid.table.legend import legend

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(table: Table) -> str:
    """The page: legend and note, all models side by side, footnotes and footer."""
    return _rendered("table.html.j2", table)


def body(table: Table) -> str:
    """The same without the page around it; its look is in `table.css`."""
    return _rendered("body.html.j2", table)


def _rendered(template: str, table: Table) -> str:
    return str(ENVIRONMENT.get_template(template).render(table=table, legend=legend(table), text=text, answers=answers))
