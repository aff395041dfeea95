"""What an experiment's audit needs, or why there is none."""

from typing import Any

import pytest

from prunegrid.audit import plan
from prunegrid.experiment.config import Experiment, load
from support.snakemake_runs import DEFAULT


def experiment(**changes: Any) -> Experiment:
    return load({**DEFAULT, **changes})


def test_audited_models_are_replicas_with_other_seeds() -> None:
    models = plan.audited_models(experiment(models={"m": {"pretrain": {"seed": 4, "steps": 7}}}))
    assert list(models) == ["m", "m@seed5", "m@seed6"]
    pretrained = [source.pretrain for source in models.values() if source.pretrain]
    assert [(pretrain.seed, pretrain.steps) for pretrain in pretrained] == [(4, 7), (5, 7), (6, 7)]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"sandbox": None, "models": {"m": {"path": "x"}}, "data_mirror": "y"}, "has no sandbox"),
        ({"models": {"m": {"path": "x"}}}, "no model has pretrain"),
        ({"dataset": {**DEFAULT["dataset"], "carry": ["kind"]}}, "does not carry wrong_words"),
    ],
)
def test_audit_error_of_an_experiment_without_planted_kinds(changes: dict[str, Any], what: str) -> None:
    unsuited = experiment(**changes)
    error = plan.audit_error(unsuited)
    assert error and error.where == "audit of sandbox" and what in error.what and error.fix
    assert plan.audited_models(unsuited) == {}
    assert list(plan.all_models(unsuited)) == list(unsuited.sources)


def test_audited_extras_have_imported_scores_and_a_query_set_only_where_the_config_has_them() -> None:
    query = DEFAULT["dataset"] | {"name": "questions", "max_samples": 5}
    alone = plan.audited_extras(experiment())
    assert not {"quality", "query_rank"} & {*alone}
    assert {*plan.audited_extras(experiment(scores={"quality": "judge.jsonl", "unread": "x.jsonl"}))} - {*alone} == {
        "quality"
    }
    assert {*plan.audited_extras(experiment(query=query))} - {*alone} == {"query_rank"}
