"""`PruningSpec`: its JSON form stands in finished results, so it must stay as version 0.1 wrote it."""

import json

from prunegrid.pruners import MethodSpec, PruningSpec, complete_options

RATIOS = {"sample_ratio": 0.125, "token_ratio": 0.5}


def test_json_form_is_that_of_version_0_1() -> None:
    spec = PruningSpec(variant="even", method="longest+ppl", **RATIOS).complete()
    written = {"variant": "even", "method": "longest+ppl", "options": {"keep": "shortest"}, **RATIOS}
    assert json.dumps(spec.model_dump()) == json.dumps(written), "also the order of the keys"
    assert json.loads(spec.model_dump_json()) == written
    assert PruningSpec.model_validate(written) == spec


def test_json_form_with_match_is_that_of_version_0_1() -> None:
    match = {"variant": "q", "method": "qtuning", "options": complete_options("qtuning", {"window": 8})}
    written = {"variant": "even", "method": "random+random", "options": {}, **RATIOS, "match": match}
    spec = PruningSpec.model_validate(written)
    assert json.dumps(spec.model_dump()) == json.dumps(written)
    assert spec.counterpart == PruningSpec(**match, **RATIOS)


def test_variant_is_the_method_unless_named() -> None:
    assert MethodSpec(method="random+ppl").variant == "random+ppl"
