"""Numbers as people read them, and names that were misspelt."""

from prunegrid.core.text import byte_size, did_you_mean, duration


def test_byte_size_picks_the_unit() -> None:
    assert [byte_size(b) for b in (0, 5e6, 1.35e10, 1.456e12)] == ["0", "5 MB", "13.5 GB", "1.46 TB"]


def test_duration_picks_the_unit() -> None:
    assert [duration(s) for s in (12, 150, 7200, 1.8e7)] == ["12 s", "2 min", "2.0 h", "5,000.0 h"]


def test_did_you_mean_names_the_nearest_or_nothing() -> None:
    assert did_you_mean("pppl", ["ppl", "loss"]) == "did you mean ppl?"
    assert did_you_mean("x", ["ppl", "loss"]) == ""
