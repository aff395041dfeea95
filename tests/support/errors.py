"""Assert on the fields of a `PrunegridError`, not on its prose."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prunegrid.core.errors import PrunegridError


@contextmanager
def refused(
    where: object, *values: object, fix: str | None = None, kind: type[PrunegridError] = PrunegridError
) -> Iterator[pytest.ExceptionInfo[PrunegridError]]:
    """The block raises a `kind` at `where` whose `what` names each of `values`, and which says how to fix it.

    `fix` is a part of the fix (a command, a key) that matters; "" where there is nothing that a user can do.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.where == str(where), str(error)
    for value in values:
        assert str(value) in error.what, str(error)
    assert fix in error.fix if fix else bool(error.fix) == (fix is None), str(error)
