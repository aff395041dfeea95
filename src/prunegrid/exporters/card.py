"""The data card of an export, `README.md`: what was kept, by what, from what, and how to use it."""

from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.summary import ExportSummary
from prunegrid.selection.summary import SelectionSummary

REASONS = {
    "no_label": "samples without a kept token",
    "not_drawn": "samples whose weight drew no row",
    "cut_off": "answers that were cut off, whose text is longer than what was scored",
    "no_characters": "answers whose tokens are not characters of their text",
    "only_end": "answers of which only the end is kept, which text cannot show",
}


def card(consumer: Consumer, summary: ExportSummary, selection: SelectionSummary) -> str:
    """The whole page."""
    parts = [f"# A pruned training set for {consumer.title}", consumer.instructions(summary).strip()]
    parts += ["## What it holds", _table(_counts(summary)), "## What was kept", _table(_selection(selection))]
    parts += ["## Where it comes from", _table(_origin(summary, selection)), LICENCE]
    return "\n\n".join(parts) + "\n"


LICENCE = (
    "The rows are texts of the data set that was pruned: its licence holds for them, and the model's for what is "
    "trained on them."
)


def _counts(summary: ExportSummary) -> dict[str, object]:
    removal = {"mask": "in the input, without a label", "drop": "not in the input"}[summary.removal]
    return {
        "rows": summary.rows,
        "tokens": summary.tokens,
        "labels (tokens that are learned)": summary.labels,
        "longest row": f"{summary.longest} tokens",
        **({"setting under which no row is cut": f"`{summary.limit}`"} if summary.limit else {}),
        "beginning": summary.bos,
        "pruned tokens": removal if summary.form == "tokens" else "none: whole samples, as text",
        **{f"left out: {REASONS[name]}": count for name, count in summary.left_out.items()},
        **({"weights": "samples are repeated in proportion to their weights"} if summary.resampled else {}),
    }


def _selection(selection: SelectionSummary) -> dict[str, object]:
    shares = {name: f"{share:.4f}" for name, share in selection.realised.items() if share is not None}
    return {
        "pruner": f"`{selection.method}`",
        **{f"option `{name}`": f"`{value}`" for name, value in selection.options.items()},
        "requested": ", ".join(f"{share:g} of {name}" for name, share in selection.nominal.items()),
        "kept": ", ".join(f"{share} of {name.replace('_', ' ')}" for name, share in shares.items()),
        "samples": f"{selection.n_kept_samples} of {selection.n_samples}",
        "kept response tokens": selection.kept_tokens,
        "share of the kept samples' response tokens": f"{selection.realised_token_ratio:.4f}",
        **{f"seed of {name}": seed for name, seed in selection.seeds.items()},
    }


def _origin(summary: ExportSummary, selection: SelectionSummary) -> dict[str, object]:
    digests = {"selection": selection.selection, **selection.digests}
    return {
        "selection": f"`{summary.selection}`",
        "scores": f"`{summary.scores}`",
        **{f"SHA-256 of {name}": f"`{digest}`" for name, digest in digests.items() if digest},
        "prunegrid that pruned": selection.version,
        "prunegrid that exported": summary.version,
    }


def _table(values: dict[str, object]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in values.items())])
