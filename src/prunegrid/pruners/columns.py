"""Optional score columns, each with what it has a value for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


EXTRAS = {"fastv_layer2": "token", "ifd": "sample", "reference_nll": "token"}
