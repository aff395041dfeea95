"""prunegrid: prune a fine-tuning set twice (samples, then tokens) and tabulate what it costs or gains.

    import prunegrid as pg

    scores = pg.score(pg.load("my-data.json"), "my-model", "scores")
    kept = pg.prune(scores, "qtuning", samples="12.5%", tokens="50%")
    kept.export("trl", "pruned")

The names are imported when they are first used: `import prunegrid` itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunegrid.api.compare import Comparison as Comparison
    from prunegrid.api.compare import compare as compare
    from prunegrid.api.data import Data as Data
    from prunegrid.api.data import load as load
    from prunegrid.api.overlap import Overlaps as Overlaps
    from prunegrid.api.overlap import overlap as overlap
    from prunegrid.api.scores import add_scores as add_scores
    from prunegrid.api.scores import score as score
    from prunegrid.api.selection import Selection as Selection
    from prunegrid.api.selection import export as export
    from prunegrid.api.selection import prune as prune
    from prunegrid.api.suggest import Curves as Curves
    from prunegrid.api.suggest import suggest as suggest
    from prunegrid.core.installation import workflow_files as workflow_files

    __version__: str

_MODULES = {
    "Comparison": "prunegrid.api.compare",
    "add_scores": "prunegrid.api.scores",
    "compare": "prunegrid.api.compare",
    "Curves": "prunegrid.api.suggest",
    "Data": "prunegrid.api.data",
    "Overlaps": "prunegrid.api.overlap",
    "Selection": "prunegrid.api.selection",
    "export": "prunegrid.api.selection",
    "load": "prunegrid.api.data",
    "overlap": "prunegrid.api.overlap",
    "prune": "prunegrid.api.selection",
    "score": "prunegrid.api.scores",
    "suggest": "prunegrid.api.suggest",
    "workflow_files": "prunegrid.core.installation",
}
__all__ = [
    "Comparison",
    "Curves",
    "Data",
    "Overlaps",
    "Selection",
    "__version__",
    "add_scores",
    "compare",
    "export",
    "load",
    "overlap",
    "prune",
    "score",
    "suggest",
]


if not TYPE_CHECKING:  # a type checker is to refuse names that are not there

    def __getattr__(name: str) -> Any:
        """A name of the Python interface (PEP 562)."""
        if name == "__version__":
            return import_module("prunegrid.core.installation").package_version()
        if name not in _MODULES:
            raise AttributeError(f"module 'prunegrid' has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
