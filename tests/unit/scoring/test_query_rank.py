"""RDS+: in which order a query set takes samples, and by which vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.experiment.config import Experiment
from prunegrid.experiment.training import Scoring
from prunegrid.pruners import Draw, Needs, select
from prunegrid.pruners.vectors import units
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.query_rank import taken_places
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from support.errors import refused
from support.handmade_scores import scores, spec
from support.snakemake_runs import DEFAULT, planned

NEEDS = Needs(samples={"query_rank": "rds"}, tokens={})
QUERY = DEFAULT["dataset"] | {"name": "q", "max_samples": 5}


def turns(cosine_QN: np.ndarray) -> list[int]:
    """The order in which queries take samples, turn by turn, as in the authors' code."""
    choices = [np.argsort(-row, kind="stable").tolist() for row in cosine_QN]
    taken: list[int] = []
    for round_number in range(cosine_QN.shape[1]):
        for query in choices:
            if query[round_number] not in taken:
                taken.append(query[round_number])
    return taken


@pytest.mark.parametrize("seed", range(3))
def test_places_are_those_of_taking_turns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, samples = rng.normal(size=(4, 6)), rng.normal(size=(40, 6)).astype(np.float16)
    places = taken_places(units(query), samples)
    expected = turns(units(query).astype(float) @ units(samples).astype(float).T)
    assert np.argsort(places).tolist() == expected
    assert sorted(places.tolist()) == list(range(40))


def test_places_by_hand() -> None:
    """Both queries like 0 best; the second one's turn is lost, and 1 and 2 are the second choices."""
    samples = np.array([[1, 1], [1, 0.2], [0.2, 1], [-1, -1]], np.float16)
    assert taken_places(units(np.array([[1, 0.9], [0.9, 1]])), samples).tolist() == [0, 1, 2, 3]
    assert taken_places(units(np.array([[0.1, 1.0]])), samples).tolist() == [1, 2, 0, 3]
    assert taken_places(units(np.zeros((1, 2))), samples).tolist() == [0, 1, 2, 3]


def test_rds_keeps_what_is_taken_first() -> None:
    given = scores([2] * 4, samples={"query_rank": [2, 0, 3, 1]})
    assert select(given, spec("rds+random", 0.5, 1), Draw(0)).sample_id.tolist() == [1, 3]


def test_vectors_are_means_weighted_by_position(tmp_path: Path, tiny_model: Path, dataset: Path) -> None:
    folder = ScoresFolder(tmp_path)
    score(tiny_model, dataset, folder.path, Scoring())
    out = folder.extra_file("query_rank")
    write_extra("query_rank", folder.path, tiny_model, out, Scoring(), query=dataset)
    actual = folder.read_samples(NEEDS).samples["query_rank"]
    assert folder.extra_digests(NEEDS)["query_rank"]["query"] == folder.digests["data"]

    model = AutoModelForCausalLM.from_pretrained(tiny_model).double().eval()
    vectors, rows = [], folder.sequences()
    for row in range(len(rows)):
        prompt, response = rows.ids(row)
        with torch.no_grad():
            hidden_TD = model.model(torch.tensor([prompt + response])).last_hidden_state[0].numpy()
        weight_T = np.arange(1, len(hidden_TD) + 1)
        vectors.append((weight_T[:, None] * hidden_TD).sum(axis=0) / weight_T.sum())
    half = np.array(vectors).astype(np.float16)
    expected = turns(units(half).astype(float) @ units(half).astype(float).T)
    agreement = np.corrcoef(np.argsort(np.argsort(actual)), np.argsort(expected))[0, 1]
    assert agreement > 0.95  # float32 passes and float16 vectors: near ties may change places


def test_a_query_set_is_asked_for_where_it_is_read(tmp_path: Path, tiny_model: Path, dataset: Path) -> None:
    with refused("query_rank", "needs a query set", fix="--query FILE"):
        write_extra("query_rank", tmp_path, tiny_model, tmp_path / "x", Scoring())
    with refused("ifd", "reads no query set", str(dataset)):
        write_extra("ifd", tmp_path, tiny_model, tmp_path / "x", Scoring(), query=dataset)


def test_the_config_needs_the_section_query() -> None:
    config = DEFAULT | {"variants": [*DEFAULT["variants"], "rds+random"]}
    with pytest.raises(ValueError, match=r"rds\+random needs a query set; give the section query"):
        Experiment.model_validate(config)
    assert Experiment.model_validate(config | {"query": QUERY}).query
    assert "query" not in Experiment.model_validate(DEFAULT).model_dump()


def test_the_workflow_makes_the_score_once_a_model(tmp_path: Path) -> None:
    config = DEFAULT | {"variants": [*DEFAULT["variants"], "rds+random"], "query": QUERY}
    before, after = planned(tmp_path, config=DEFAULT), planned(tmp_path, config=config)
    assert after["query_score"] == len(DEFAULT["models"])
    assert after["prune"] > before["prune"] and after.get("extra_score", 0) == before.get("extra_score", 0)
