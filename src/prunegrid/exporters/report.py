"""What an export says when it is done."""

from prunegrid.exporters.card import REASONS
from prunegrid.exporters.summary import ExportSummary


def report(summary: ExportSummary) -> str:
    """Three lines: what was written, what keeps its rows whole, what was left out."""
    limit = f"; {summary.limit} keeps every row whole" if summary.limit else ""
    left_out = ", ".join(f"{count} {REASONS[name]}" for name, count in summary.left_out.items() if count)
    return (
        f"{summary.rows:,} rows of {summary.tokens:,} tokens, {summary.labels:,} of them learned: {summary.out}\n"
        f"longest row: {summary.longest:,} tokens{limit}\n"
        f"left out: {left_out or 'nothing'}"
    )
