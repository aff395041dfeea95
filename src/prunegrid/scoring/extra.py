"""Optional scores, each in a file of its own beside the scores: `extra/<name>.parquet` (of vectors `.arrow`).

The rule `extra_score` makes one if a variant reads it, from the token ids of the scores, in the order of their rows.
A new one needs a function in `COMPUTE`, or in `extra_streams.STREAMS`, and an entry in `prunegrid.pruners.columns`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.training import Scoring
from prunegrid.models import data_digest, describe
from prunegrid.pruners.columns import EXTRAS, LAYER_EXTRAS, QUERY_EXTRAS, REFERENCE_EXTRAS
from prunegrid.scoring import extra_passes, extra_texts
from prunegrid.scoring.extra_files import write_column, write_tables
from prunegrid.scoring.extra_inputs import ExtraInputs
from prunegrid.scoring.extra_streams import STREAMS
from prunegrid.scoring.query_rank import query_rank
from prunegrid.scoring.reader import ScoresFolder


def write_extra(
    name: str,
    scores_dir: Path,
    model_dir: Path,
    out_file: Path,
    settings: Scoring,
    device: str = "cpu",
    reference_dir: Path | None = None,
    data: Path | None = None,
    query: Path | None = None,
) -> None:
    """Write `sample_id` and the column `name`, as `extra_files.write_column` does."""
    if name not in EXTRAS:
        raise PrunegridError(name, "is not an optional score", f"choose one of {', '.join(EXTRAS)}")
    if name in REFERENCE_EXTRAS and reference_dir is None:
        raise PrunegridError(name, "needs a reference model", "give its folder (--reference DIR)")
    if name not in REFERENCE_EXTRAS and reference_dir is not None:
        raise PrunegridError(name, f"reads no reference model, but {reference_dir} is given", "leave --reference out")
    if (name in QUERY_EXTRAS) != (query is not None):
        problem = "needs a query set" if query is None else f"reads no query set, but {query} is given"
        fix = "give it: --query FILE, or the experiment's section query" if query is None else "leave --query out"
        raise PrunegridError(name, problem, fix)
    scores = ScoresFolder(scores_dir)
    scores.check_digests(describe(model_dir)["digests"])
    digests = scores.digests
    if reference_dir:
        digests = digests | {"reference": describe(reference_dir)["digests"]["model"]}
    if query:
        digests = digests | {"query": data_digest(query)}
    if name in STREAMS:
        write_tables(out_file, STREAMS[name](scores, model_dir), digests)
        return
    sequences = scores.sequences()
    values = COMPUTE[name](
        ExtraInputs(scores, sequences, model_dir, reference_dir, settings, device, data, query=query)
    )
    write_column(out_file, name, sequences, values, digests)


def write_extras(inputs: ExtraInputs, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write the optional scores `settings.extra` beside the scores: `columns`, which the pass gave, and all others."""
    digests = inputs.scores.digests
    for name in inputs.settings.extra:
        made_from = digests
        if name in REFERENCE_EXTRAS:
            assert inputs.reference_dir, "the config refuses such a score without a reference"
            made_from = digests | {"reference": describe(inputs.reference_dir)["digests"]["model"]}
        values = columns[name] if name in columns else COMPUTE[name](inputs)
        write_column(inputs.scores.extra_file(name), name, inputs.sequences, values, made_from)


COMPUTE: dict[str, Callable[[ExtraInputs], NDArray[np.floating]]] = {
    "compression_ratio": extra_texts.compression_ratio,
    "duplicate_rank": extra_texts.duplicate_rank,
    "fastv_layer2": extra_passes.fastv_layer2,
    "hidden_mean": extra_passes.hidden_mean,
    "ifd": extra_passes.ifd,
    "instruction_characters": extra_texts.instruction_characters,
    "instruction_entropy": extra_texts.instruction_entropy,
    "nll_alone": lambda inputs: inputs.nll_alone,
    "prompt_candidates": extra_texts.prompt_candidates,
    "query_rank": query_rank,
    "reference_loss": extra_passes.reference_loss,
    "reference_nll": extra_passes.reference_nll,
    "s_ifd": extra_texts.s_ifd,
    "sequence_entropy": extra_passes.sequence_entropy,
    **{name: partial(extra_passes.layer_score, name=name) for name in LAYER_EXTRAS},
}
