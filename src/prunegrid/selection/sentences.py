"""What a person reads at the end of `prunegrid score` and `prunegrid prune`: three sentences each."""

from collections.abc import Mapping
from typing import Any

from prunegrid.data.counts import REASONS
from prunegrid.pruners import pruner_names
from prunegrid.scoring.rendering import refused_answers
from prunegrid.selection.summary import SelectionSummary

Facts = Mapping[str, Any]


def scoring_sentences(meta: Facts, counts: Facts | None = None) -> list[str]:
    """What was scored, what was left out and why, what was cut off. `counts` is `data.json`, if it is there."""
    rows = f" of {_number(counts['rows'], 'row')}" if counts else ""
    speed = f", {meta['tokens_per_second']:,.0f} tokens a second" if meta.get("tokens_per_second") else ""
    answers, limit = _number(meta["samples"], "answer"), f"cut off at {meta['max_length']:,} tokens"
    read = f"Scored {answers}{rows}, {meta['tokens']:,} tokens, in {meta['seconds']:,} s{speed}."
    cut = meta["truncated"]
    facts = [f"{_number(cut, 'answer')} {limit}, without {_ends(cut)}" if cut else f"No answer was {limit}"]
    facts += [f"no {name} ({reason})" for name, reason in meta.get("left_out", {}).items()]
    return [read, _left_out(meta, counts), "; ".join(facts) + "."]


def selection_sentences(summary: SelectionSummary, meta: Facts | None = None, counts: Facts | None = None) -> list[str]:
    """What was asked and kept, how it was chosen, what is cut or empty. `meta` and `counts` are facts of the scores."""
    answers = [_answers(summary), _left_out(meta, counts) if meta else ""]
    return list(filter(None, [_kept(summary), _choice(summary), " ".join(filter(None, answers))]))


def _kept(summary: SelectionSummary) -> str:
    samples = f"{summary.n_kept_samples:,} of {_number(summary.n_samples, noun(summary))}"
    shares = f"{_percent(summary.n_kept_samples / summary.n_samples)}, {_request(summary, 'samples')}"
    tokens = "none of their response tokens"
    if summary.kept_tokens:
        available = round(summary.kept_tokens / summary.realised_token_ratio)
        tokens = f"{summary.kept_tokens:,} of their {_number(available, 'response token')}"
    token_shares = f"{_percent(summary.realised_token_ratio)}, {_request(summary, 'tokens')}"
    whole = summary.realised["response_tokens"]
    rest = "" if whole is None else f": {_percent(whole)} of all response tokens"
    return f"Kept {samples} ({shares}) and {tokens} ({token_shares}){rest}."


def _request(summary: SelectionSummary, kind: str) -> str:
    if summary.match:
        return f"as {summary.match}"
    if count := (summary.budget or {}).get(kind):
        return f"requested {'at most ' * (kind == 'tokens')}{count}"
    return f"requested {_percent(summary.nominal[kind])}"


def _choice(summary: SelectionSummary) -> str:
    """Thresholds that are degenerate, and samples that were filled in."""
    if summary.paths is not None:
        paths = summary.paths
        text = (
            f"Q2: {_number(paths['q2'], 'sample')} (tokens pruned), Q4: {paths['q4']:,} (kept whole), "
            f"filled in from neither: {paths['filled']:,}, trimmed: {paths['trimmed']:,}"
        )
        degenerate, windows = _degenerate(summary.thresholds)
        if degenerate:
            text += f"; in {degenerate:,} of {_number(windows, 'window')} the thresholds are degenerate (low = high)"
        return f"{text}.{_token_budget(summary)}"
    samples, tokens = pruner_names(summary.method)
    seed = summary.seeds.get("cell", 0)
    text = f"{samples} chose the samples and {tokens} the tokens" if tokens else f"{samples} chose samples and tokens"
    if summary.match:
        text += f", as many as {summary.match} kept"
    return f"{text[0].upper()}{text[1:]} (seed {seed}), without thresholds or filling."


def _token_budget(summary: SelectionSummary) -> str:
    """Where one token target is shared: how far it was met."""
    if summary.token_budget is None:
        return ""
    counts = summary.token_budget
    targets, missed = _number(counts["mini_batches"], "token target"), counts["over_target"]
    kept = f"{counts['nothing_dropped']:,} cost no token"
    return f" {missed:,} of {targets} missed, since Q2 holds too few tokens; {kept}."


def _degenerate(thresholds: Any) -> tuple[int, int]:
    """In how many windows, of how many, high and low thresholds coincide; of many windows only quartiles are known."""
    if not isinstance(thresholds, list):
        return 0, int((thresholds or {}).get("windows", 0))
    names = ("ppl", "entropy")
    coincide = [any(window[f"{name}_low"] >= window[f"{name}_high"] for name in names) for window in thresholds]
    return sum(coincide), len(coincide)


def _answers(summary: SelectionSummary) -> str:
    if summary.truncated is None or summary.only_end is None:  # of a version that did not count them
        return ""
    empty = f" {summary.empty:,} of them keep{'s' * (summary.empty == 1)} no token." if summary.empty else ""
    if not summary.truncated and not summary.only_end:
        return f"No kept answer is cut off, and none has nothing left but its end.{empty}"
    cut = f"{summary.truncated:,} cut off, without {_ends(summary.truncated)}"
    return f"Kept answers: {cut}; {summary.only_end:,} with nothing left but {_ends(summary.only_end)}.{empty}"


def _left_out(meta: Facts, counts: Facts | None) -> str:
    left_out = (counts or {}).get("left_out", {})
    reasons = [f"{count:,} {REASONS.get(name, name)}" for name, count in left_out.items() if count]
    if meta.get("fully_cut"):
        reasons.append(f"{meta['fully_cut']:,} whose prompt fills {meta['max_length']:,} tokens")
    if number := refused_answers(meta):
        reasons.append(f"{number:,} that the chat template refuses")
    return f"Left out of the data: {', '.join(reasons) or 'nothing'}."


def noun(summary: SelectionSummary) -> str:
    """What the selection calls one of its samples."""
    return "conversation" if summary.unit == "conversation" else "sample"


def _ends(count: int) -> str:
    return "its end" if count == 1 else "their ends"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
