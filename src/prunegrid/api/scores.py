"""Score training data under a model, or add scores that something else made: `prunegrid score` and `extra --from`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from prunegrid.api.data import Data, Source, find_source
from prunegrid.core.validation import validation_errors
from prunegrid.experiment import layout
from prunegrid.experiment.score_file import Direction, ScoreFile
from prunegrid.experiment.training import USUAL_DTYPE, Scoring
from prunegrid.scoring.devices import device_kind
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score_file import import_scores
from prunegrid.scoring.user_data import score_data


def score(
    data: Any,
    model: str | Path,
    out: str | Path,
    *,
    max_length: int = 2048,
    batch_tokens: int = 4096,
    dtype: Literal["float32", "bfloat16"] | None = None,
    devices: str | Sequence[str | int] = "cpu",
    shards: int | None = None,
    threads: int | None = None,
    chat_template: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    extra: Sequence[str] = (),
) -> ScoresFolder:
    """Score every answer and token once, into the folder `out`; the same call goes on where one was interrupted.

    `data` comes from `load`, or is anything that `load` takes. `model` is a folder, or `org/name[@revision]` of the
    hub. Prompt and response are cut off at `max_length` tokens. `devices`: cpu, cuda (a GPU that is free) or ids of
    GPUs ("0,1" or [0, 1]), a process each. `dtype` is float32 on a CPU and bfloat16 on a GPU, if it is not given.
    `chat_template` replaces the model's own: Jinja, a file, or the name of one of the tokenizer's;
    `chat_template_kwargs` are its switches ({"enable_thinking": False}). `extra` names optional scores that the pass
    computes, too. Scores of the same model, data and settings
    that `out` holds stay.
    """
    source = data if isinstance(data, Data | Source) else find_source(data)
    names = devices.split(",") if isinstance(devices, str) else [str(device) for device in devices]
    kind = dtype or USUAL_DTYPE[device_kind(names)]
    values = {"max_length": max_length, "batch_tokens": batch_tokens, "dtype": kind, "extra": list(extra)}
    try:
        settings = Scoring.model_validate(values)
    except ValidationError as error:
        raise validation_errors(error, Scoring, "score") from None
    score_data(
        model,
        source.write,
        Path(out),
        settings,
        devices=names,
        shards=shards,
        threads=threads,
        chat_template=chat_template,
        chat_template_kwargs=chat_template_kwargs,
    )
    return ScoresFolder(Path(out))


def add_scores(
    scores: str | Path | ScoresFolder,
    name: str,
    file: str | Path,
    *,
    column: str | None = None,
    id: str | Mapping[str, str] | None = None,
    direction: Direction = "highest",
    missing: Literal["refuse", "last"] = "refuse",
    source: str = "",
) -> ScoresFolder:
    """Add scores that something else made: the column `name`, which any pruner may read. Says what was read.

    `file` is JSON lines or Parquet with a number for each sample, or a list of numbers for each sample's response
    tokens, in `column` (default: `name`, or score; a.b for b within a). `id` is the column that says whose a row is:
    sample_id, row (and turn) or one that the data carry, {"row": "idx"} if the file calls it idx, or order, if the n-th
    row is of the source's n-th. `direction` says which scores are the better ones, `missing` whether samples without a
    score are an error or come last, and `source` who made the scores: a text that selections repeat.
    """
    folder = scores if isinstance(scores, ScoresFolder) else ScoresFolder(Path(scores))
    values = {"file": str(file), "column": column, "id": id, "direction": direction, "missing": missing}
    try:
        settings = ScoreFile.model_validate(values | {"source": source})
    except ValidationError as error:
        raise validation_errors(error, ScoreFile, f"scores {name}") from None
    out = folder.path / layout.EXTRA / f"{name}.parquet"
    print("\n".join(import_scores(name, folder.path, settings, out)))
    return folder
