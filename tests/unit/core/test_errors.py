"""How errors are shown: one line each, of place, problem and fix."""

import pickle

from prunegrid.core.errors import PrunegridError, PrunegridErrors, first_line

FULL = PrunegridError("config.yaml: seeds[0]", "is -1", "give 0 or more")
BARE = PrunegridError("config.yaml", "holds no keys")


def test_error_is_one_line_of_place_problem_and_fix() -> None:
    assert str(FULL) == "config.yaml: seeds[0]: is -1; give 0 or more"
    assert str(BARE) == "config.yaml: holds no keys"


def test_errors_are_a_line_each() -> None:
    several = PrunegridErrors([FULL, BARE])
    assert str(several).splitlines() == [str(FULL), str(BARE)]
    assert (several.where, several.what, several.fix) == (FULL.where, FULL.what, FULL.fix)


def test_errors_survive_a_process_boundary() -> None:
    assert str(pickle.loads(pickle.dumps(FULL))) == str(FULL)
    assert str(pickle.loads(pickle.dumps(PrunegridErrors([FULL, BARE])))) == f"{FULL}\n{BARE}"


def test_first_line_of_an_empty_message_is_the_type() -> None:
    assert first_line(ValueError("shape\n  of a page")) == "shape"
    assert first_line(KeyError()) == "KeyError"
