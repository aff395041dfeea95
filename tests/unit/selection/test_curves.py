"""What pruners keep by ratio: by hand, against the selections that `prune` writes, and in whatever order and blocks."""

from pathlib import Path

import numpy as np
import pytest

import prunegrid as pg
from prunegrid.core.files import read_parquet
from prunegrid.pruners import Draw, MethodSpec
from prunegrid.scoring import reader
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection import curves
from prunegrid.selection.memory import ScoresInMemory
from support import handmade_scores

METHODS = ["random+ppl", "loss+random", "qtuning", "entropy+token-cleaning"]


def rows_of(
    source: curves.Source, methods: list[str], samples: list[float], tokens: list[float], **kinds: object
) -> list:
    specs = [MethodSpec(method=method).complete() for method in methods]
    candidates = curves.read_candidates(source, specs, Draw(0), **kinds)  # type: ignore[arg-type]
    return list(curves.curves(candidates, specs, samples, tokens, Draw(0)))


def test_shares_by_hand() -> None:
    given = handmade_scores.scores(
        [4, 2, 2],
        samples={"nll": [1.0, 3.0, 0.5], "entropy": [1.0, 1.0, 2.0]},
        tokens={"nll": [0.5, 2.5, 0.5, 0.5, 2.0, 4.0, 0.4, 0.6], "entropy": [1] * 4 + [1, 1, 2, 2]},
    )
    options = {"loss": "highest"}
    spec = MethodSpec(method="loss+ppl", options=options).complete()
    candidates = curves.read_candidates(ScoresInMemory(given), [spec], Draw(0), {0: "a", 1: "b", 2: "b"})
    first, second = curves.curves(candidates, [spec], [0.67], [0.5, 1.0], Draw(0))
    # floor(0.67 x 3) = 2: samples 1 and 0. At 50 % one end each, and of sample 0 one more of smallest loss: position 0.
    assert (first["samples"], first["tokens"], first["sample_share"]) == (2, 3, 2 / 3)
    assert first["token_share"] == 3 / 8 and first["length_share"] == 6 / 8
    assert first["nll_share"] == pytest.approx((0.5 + 0.5 + 4.0) / 11) and first["sample_nll_share"] == pytest.approx(
        10 / 11
    )
    assert first["entropy_share"] == pytest.approx(3 / 10) and second["entropy_share"] == pytest.approx(6 / 10)
    assert second["token_share"] == 6 / 8 and second["nll_share"] == pytest.approx(10 / 11)
    assert (first["samples of a"], first["samples of b"]) == (1, 0.5)
    assert (first["tokens of a"], first["tokens of b"]) == (0.5, 0.25)


@pytest.mark.parametrize("block", [64, 2**22])
def test_rows_are_the_selections_that_prune_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(reader, "BLOCK_TOKENS", block)
    folder = handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(50))  # not in order of sample_id
    samples = read_parquet(folder / "samples.parquet").to_pandas().set_index("sample_id")
    tokens = read_parquet(folder / "tokens.parquet").to_pandas().set_index("sample_id")
    for row in rows_of(ScoresFolder(folder), METHODS, [0.1, 0.5, 1.0], [0.3, 0.7]):
        kept = pg.prune(folder, row["method"], samples=row["sample_ratio"], tokens=row["token_ratio"]).to_pandas()
        places = zip(kept["sample_id"], kept["kept"], strict=True)
        summed = sum(float(tokens.loc[number, "nll"][list(part)].astype(float).sum()) for number, part in places)
        mass = (samples["nll"].astype(float) * samples["response_tokens"]).sum()
        assert (row["samples"], row["tokens"]) == (len(kept), kept["kept"].map(len).sum())
        assert row["nll_share"] == pytest.approx(summed / mass, rel=1e-6)


def test_clusters_are_counted_where_vectors_are() -> None:
    given = handmade_scores.scores([1] * 40, samples={"nll": np.arange(40), "hidden_mean": np.repeat(np.eye(4), 10, 0)})
    given.tokens["nll"] = np.arange(40.0)
    (row,) = rows_of(ScoresInMemory(given), ["loss+ppl"], [0.5], [1.0])
    assert row["cluster_share"] == 0.5, "the 20 samples of largest loss are two of the four groups"


def test_token_table_is_read_once_for_pairs_of_one_token_pruner(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    original = curves._read_sums
    monkeypatch.setattr(curves, "_read_sums", lambda *arguments: reads.append(1) or original(*arguments))
    source = ScoresInMemory(handmade_scores.random_scores(30).ordered())
    rows_of(source, ["random+ppl", "loss+ppl", "entropy+ppl"], [0.1, 0.5, 1.0], [0.5])
    assert len(reads) == 1
