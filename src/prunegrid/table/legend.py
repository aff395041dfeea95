"""How to read a table: sentences about what it has, above or below it."""

from prunegrid.experiment.names import AVERAGE
from prunegrid.results.collect import SEVERITY
from prunegrid.statistics.bootstrap import MIN_CLUSTERS
from prunegrid.table.document import TIMES, Table
from prunegrid.table.text import SIGNS, delta_seeds_note, seeds_note

SINGLE_SEED = "One seed: deltas carry item noise only; no significance is claimed."
TWO_SEEDS = "Two seeds: intervals are over items and seeds; no test is made with fewer than three."
SINGLE = "Intervals are for single comparisons, not corrected."
BOLD = "Bold: best of the column among the budget's pruned rows, unless all are equal."
BASELINE_WORD = "Arrows"
STATUSES = {
    "missing": "not computed yet",
    "running": "a step has started and not finished",
    "stale": "made with other settings than the experiment's, from other weights, or from files that no longer exist",
    "failed": "a step failed, see its log",
}


def legend(table: Table) -> list[str]:
    """One sentence for each kind of thing in this table."""
    sentences = [
        "Scores in percent.",
        _baseline(table),
        *_noise(table),
        BOLD if any(entry.best for entry in table.entries) else "",
        _means(table),
        _incomplete(table),
        *_measures(table),
        _published(table),
        *_statuses(table),
    ]
    return [sentence for sentence in sentences if sentence]


def short(table: Table) -> list[str]:
    """The sentences about scores, deltas and statuses alone."""
    return [*filter(None, ["Scores in percent.", _baseline(table), *_noise(table), *_statuses(table)])]


def _baseline(table: Table) -> str:
    return f"{BASELINE_WORD}: points above or below {table.baseline}." if table.deltas else ""


def _noise(table: Table) -> list[str]:
    """The noise of deltas over one seed, over two, over more, with too few items: all that apply."""
    deltas = [entry for entry in table.entries if entry.delta is not None] if table.noise_estimated else []
    mixed = len({entry.n_compared for entry in deltas}) > 1
    untested = [entry for entry in deltas if entry.low is not None and entry.p_adjusted is None]
    sentences = {
        _limited(SINGLE_SEED, mixed): any(entry.n_compared == 1 for entry in deltas),
        _limited(TWO_SEEDS, mixed): any(entry.n_compared > 1 for entry in untested),
        _significant(table): table.tested,
        SINGLE: table.tested,
        _no_interval(table): any(entry.low is None for entry in deltas),
    }
    return [sentence for sentence, applies in sentences.items() if applies]


def _limited(sentence: str, mixed: bool) -> str:
    """`One seed: ...` or, in a table that compares different numbers of seeds, `Over one seed: ...`."""
    return f"Over {sentence[0].lower()}{sentence[1:]}" if mixed else sentence


def _significant(table: Table) -> str:
    exception = "" if any(entry.significant for entry in table.entries) else "; none does here"
    return (
        "Asterisk: the delta differs from 0 at 5 %, over items and seeds, "
        f"corrected over the budget's rows of the column{exception}."
    )


def _no_interval(table: Table) -> str:
    """Names the columns if others have intervals. Avg has none if one of its benchmarks has none."""
    columns = {
        (name, entry.low is not None)
        for row in table.rows
        for (_, name), entry in row.entries.items()
        if entry.delta is not None
    }
    names = ", ".join(name for name in table.benchmarks if (name, False) in columns and name != AVERAGE)
    average = f" and so for {AVERAGE}" if (AVERAGE, False) in columns else ""
    place = f" for {names}{average}" if any(has_interval for _, has_interval in columns) else ""
    return f"No interval{place}: fewer than {MIN_CLUSTERS} clusters of items."


def _means(table: Table) -> str:
    if table.n_seeds < 2:
        return ""
    spread = " ± standard deviations" if any(entry.sd is not None for entry in table.entries) else ""
    incomplete = any(seeds_note(entry) or delta_seeds_note(entry) for entry in table.entries)
    return f"Means{spread} over {table.n_seeds} seeds" + (f"; (k/{table.n_seeds}): k of them." if incomplete else ".")


def _incomplete(table: Table) -> str:
    """The signs beside (k/n), which show the status of the other seeds."""
    entries = [entry for entry in table.entries if seeds_note(entry)]
    marks = {entry.status: entry.marks for entry in sorted(entries, key=lambda entry: bool(entry.marks))}
    signs = {"missing": "no sign", "failed": "a footnote" if marks.get("failed") else ""} | SIGNS
    words = [f"{word} ({signs[word]})" if signs[word] else word for word in SEVERITY if word in marks]
    return f"Worst status of the other seeds: {', '.join(words)}." if words else ""


def _published(table: Table) -> str:
    names = ", ".join(f"{ours} = {theirs}" for ours, theirs in table.published.items())
    return f"Published as: {names}." if names else ""


def _measures(table: Table) -> list[str]:
    meanings = {
        "Kept": f"percent of the samples {TIMES} percent of their response tokens",
        "Tokens": "trained tokens, over all epochs",
        "Steps": "optimizer steps",
        "Passes": "trained samples, over all epochs",
        "Ends": "learned ends of sequences, over all epochs",
        "Cost": f"training and the row's share of the scoring pass, {table.unit}",
        "Seeds": "those with every benchmark",
    }
    return [f"{name}: {meanings[name]}." for name in table.measures]


def _statuses(table: Table) -> list[str]:
    statuses = {entry.status for entry in table.entries}
    return [f"{status}: {meaning}." for status, meaning in STATUSES.items() if status in statuses]
