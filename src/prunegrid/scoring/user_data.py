"""Scores of one's own data: checks before the pass, a pass that goes on where it was interrupted, one whole folder.

`prunegrid score`, `prunegrid keep` and `pg.score` call `score_data`. The folder that it writes holds all that later
steps read: scores, data and tokenizer.
"""

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import draft, read_json, replace, replacing
from prunegrid.core.versions import STEP
from prunegrid.experiment import layout
from prunegrid.experiment.training import Scoring
from prunegrid.models import describe, prepare_tokenizer, template_digest
from prunegrid.models.folder import config_file
from prunegrid.models.hub import find_model
from prunegrid.models.size import stored_size
from prunegrid.pruners.columns import ALONE_EXTRAS, REFERENCE_EXTRAS
from prunegrid.scoring.data_shard import tokenise_shard
from prunegrid.scoring.devices import device_kind, score_on
from prunegrid.scoring.extra import write_extras
from prunegrid.scoring.extra_files import extra_file
from prunegrid.scoring.extra_inputs import ExtraInputs, prefix_token
from prunegrid.scoring.forward_columns import pop_columns
from prunegrid.scoring.pass_folder import ALONE, PassFolder
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.render import Renderer
from prunegrid.scoring.rendering import refused_answers
from prunegrid.scoring.score import pass_digests, pass_facts
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.target import check_space, hold, present_scores, refuse_extra, refuse_foreign
from prunegrid.scoring.writer import rates, refuse_empty, write_scores

SHARD_FLOPS = {"cpu": 2e12, "cuda": 2e15}  # a minute at most: what an interrupted pass loses
MOST_SHARDS = 1000

WriteData = Callable[[Path, Path], None]
"""Writes `data.parquet` and `data.json`, as `data.datasets.write_dataset` does."""


def score_data(
    model: str | Path,
    write_data: WriteData,
    out: Path,
    settings: Scoring,
    *,
    devices: Sequence[str] = ("cpu",),
    shards: int | None = None,
    threads: int | None = None,
    chat_template: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the scores of the data under `model` (a folder, or `org/name[@revision]` of the hub); return the meta.

    `devices`: `cpu`, `cuda` (any GPU that is free) or ids of GPUs, a process each if there are several. `shards` is the
    number of parts that are stored as they are scored, by default of a minute at most: the same call goes on behind
    them. Neither decides a score. Scores of the same model, data and settings that are in `out` stay.
    """
    kind = device_kind(devices)
    if names := sorted(REFERENCE_EXTRAS & {*settings.extra}):
        problem = "is a score under a reference model, which this pass does not run"
        raise PrunegridError(f"extra {names[0]}", problem, f"later run: prunegrid extra {names[0]} --reference DIR")
    with hold(out):
        refuse_foreign(out)
        with draft(out / layout.PASS) as fresh:
            inputs = _read_inputs(model, write_data, fresh, settings, chat_template, chat_template_kwargs or {})
            work = PassFolder(out / layout.PASS)
            meta = present_scores(out, inputs.digests)
            unwritten = [name for name in settings.extra if not extra_file(out, name).exists()] if meta else []
            if unwritten and not work.exists:
                problem = f"holds these scores, but not the optional score {unwritten[0]}"
                raise PrunegridError(out, problem, f"make it with `{ScoresFolder(out).extra_command(unwritten[0])}`")
            if meta and not unwritten and (inputs.on_bad_row == "skip" or not refused_answers(meta)):
                _say(f"{out} holds the scores of this model and these data already")
                shutil.rmtree(work.path, ignore_errors=True)
                return meta
            if not unwritten:
                refuse_extra(out)
            if not _goes_on(work, inputs.identity(settings)):
                _begin(fresh, inputs, settings, shards, kind, len(devices))
                replace(fresh, work.path)
        work = PassFolder(work.path)
        score_on(work, devices, max(1, (threads or os.cpu_count() or 1) // len(devices)))
        return _finish(work, out)


@dataclass(frozen=True)
class Inputs:
    """What is scored: the model's folder and where it comes from, the tokenizer, and digests of all that decides."""

    model: Path
    source: dict[str, Any]
    tokenizer: Any
    digests: dict[str, str]
    on_bad_row: str
    start: float

    def identity(self, settings: Scoring) -> dict[str, Any]:
        """What a pass that goes on must have in common with the one that was interrupted."""
        rest: dict[str, Any] = {"on_bad_row": self.on_bad_row, "version of scoring": STEP["score"]}
        rest |= {"list of optional scores": settings.extra} if settings.extra else {}
        return {**self.digests, "batch size": settings.batch_tokens, **rest}


def _read_inputs(
    model: str | Path,
    write_data: WriteData,
    fresh: Path,
    settings: Scoring,
    chat_template: str | None,
    chat_template_kwargs: Mapping[str, Any],
) -> Inputs:
    """Check the model, then write data and tokenizer into the folder `fresh`."""
    start = time.monotonic()
    folder, source = find_model(model)
    digests = describe(folder)["digests"]
    tokenizer = prepare_tokenizer(folder, chat_template, chat_template_kwargs)
    fresh.mkdir()
    tokenizer.save_pretrained(fresh / layout.TOKENIZER)
    shutil.copyfile(config_file(folder), fresh / layout.TOKENIZER / "config.json")  # says which tokenizer class it is
    write_data(fresh / layout.DATA, fresh / layout.DATA_COUNTS)
    if chat_template or chat_template_kwargs:
        digests |= {"template": template_digest(tokenizer.chat_template)}
    on_bad_row = read_json(fresh / layout.DATA_COUNTS)["source"].get("on_bad_row", "error")
    digests = pass_digests(digests, fresh / layout.DATA, settings)
    return Inputs(folder, source, tokenizer, digests, on_bad_row, start)


def _begin(fresh: Path, inputs: Inputs, settings: Scoring, shards: int | None, kind: str, devices: int) -> None:
    """Tokenise the data, check what a pass needs, and lay out its shards in the folder `fresh`."""
    renderer = Renderer(inputs.tokenizer)
    sequences, cut = tokenise_shard(fresh / layout.DATA, renderer, settings.max_length)
    meta = pass_facts(inputs.model, inputs.digests, settings, sequences, cut, renderer) | {
        "model": inputs.source,
        "step": STEP["score"],
    }
    data = read_json(fresh / layout.DATA_COUNTS)["source"]
    refuse_empty(meta, data["path"] or data["hub"])
    check_space(fresh.parent, sequences)
    plan = {
        "identity": inputs.identity(settings),
        "model": str(inputs.model.absolute()),
        "settings": settings.model_dump(mode="json"),
        "shards": shards or usual_shards(inputs.model, sequences, kind, devices),
        "meta": meta | {"seconds": round(time.monotonic() - inputs.start, 1)},
    }
    PassFolder.write(fresh, sequences, plan)
    if {*ALONE_EXTRAS} & {*settings.extra}:
        PassFolder.write(fresh / ALONE, sequences.with_prompt(prefix_token(inputs.tokenizer)), plan)


def _goes_on(work: PassFolder, identity: dict[str, Any]) -> bool:
    """Whether `work` is an interrupted pass of this identity; says so, or why it is not used."""
    if not work.exists:
        return False
    earlier = work.plan["identity"]
    if changed := [name for name in identity if earlier.get(name) != identity[name]]:
        _say(f"starts over: the interrupted pass had a different {' and '.join(changed)}")
        return False
    numbers = range(1, len(work.shards) + 1)
    share = 1 - work.tokens(work.missing) / work.tokens(numbers)
    _say(f"resumes at {share:.0%}: {len(numbers) - len(work.missing)} of {len(numbers)} shards are scored")
    return True


def usual_shards(model: Path, sequences: Sequences, kind: str, devices: int) -> int:
    """Shards of about a minute; several for each device if there are several."""
    work = 2 * stored_size(model).count * int(sequences.length_N.sum()) / SHARD_FLOPS[kind]
    return min(MOST_SHARDS, max(math.ceil(work), 4 * devices if devices > 1 else 1))


def _finish(work: PassFolder, out: Path) -> dict[str, Any]:
    """Put the scored shards together in `out`, with data and tokenizer, and remove the pass's folder."""
    values, shards = work.collect()
    columns = pop_columns(work.settings.extra, values, work.sequences)
    sums = {key: round(sum(facts[key] for facts in shards), 3) for key in ("positions", "forward_seconds")}
    fallbacks = {name: reason for facts in shards for name, reason in facts.get("fallbacks", {}).items()}
    meta: dict[str, Any] = work.plan["meta"] | {
        "shards": len(shards),
        "head": "+".join(sorted({facts["head"] for facts in shards})),
        **({"fallbacks": fallbacks} if fallbacks else {}),
        "left_out": shards[0]["left_out"],
        **sums,
    }
    meta |= {"seconds": round(meta["seconds"] + meta["forward_seconds"], 1), **rates(meta)}
    for name in (layout.DATA, layout.DATA_COUNTS):
        with replacing(out / name) as temporary:
            shutil.copyfile(work.path / name, temporary)
    with replacing(out / layout.TOKENIZER) as temporary:
        shutil.copytree(work.path / layout.TOKENIZER, temporary)
    meta = write_scores(out, work.sequences, values, meta)
    _write_extras(work, out, columns)
    shutil.rmtree(work.path)
    return meta


def _write_extras(work: PassFolder, out: Path, columns: dict[str, NDArray[Any]]) -> None:
    """Write the optional scores that the pass computes: `columns`, those of responses alone, and those of texts."""
    scores, model, settings = ScoresFolder(out), Path(work.plan["model"]), work.settings
    alone = work.alone.collect()[0]["nll"] if work.alone else None
    inputs = ExtraInputs(scores, work.sequences, model, None, settings, "cpu", out / layout.DATA, scored_alone=alone)
    write_extras(inputs, columns)


def _say(text: str) -> None:
    print(f"prunegrid: {text}", file=sys.stderr, flush=True)
