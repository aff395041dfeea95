"""One response, its tokens as text, and which of them each token pruner keeps: what the figure `tokens` shows.

The pruners are those with a `figure_row` (the paper's Figure 1b, arXiv 2509.23873), regardless of the variants.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from prunegrid import pruners
from prunegrid.core import files
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.variant import Budget
from prunegrid.figures.example import pick_sample, planted_noise, votes
from prunegrid.figures.model_results import NothingToShow
from prunegrid.models import check_complete
from prunegrid.pruners import Choice, Draw, Needs, PruningSpec, Scores
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.blocks import kept_blocks

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Response:
    """One of `n_samples`: its prompt, the texts of its response tokens and what each pruner keeps of them.

    `selections` has, by pruner, the positions kept or why they are unknown. `treated_as`: Q-Tuning's token rule for
    this sample, 2 or 4; 0 if Q-Tuning does not keep it.
    """

    sample_id: int
    prompt: str
    texts: list[str]
    selections: dict[str, set[int] | str]
    treated_as: int
    n_samples: int


def read(root: Path, experiment: Experiment, model: str) -> Response:
    """The response that `example.pick_sample` chooses, at the experiment's first budget and seed."""
    if experiment.unit == "conversation":
        raise NothingToShow("it shows single answers, and unit is conversation")
    folder, tokenizer = ScoresFolder(root / layout.scores(model)), root / layout.base_model(model) / "tokenizer.json"
    for file in (*folder.tables.values(), tokenizer):
        if not file.exists():
            raise NothingToShow(f"{file.relative_to(root)} is missing")
    check_complete(tokenizer.parent)
    options, budget = _options(experiment, folder), experiment.grid_budgets[0]
    scores = folder.read_samples(Needs(pruners.needs("qtuning", options).samples, {}))
    draw = Draw(experiment.seeds[0])
    spec = PruningSpec(method="qtuning", options=options, **dict(budget))
    choice = pruners.choose_samples(scores.ordered(), spec, draw)
    ids = scores.ordered().sample_id
    noise_N = planted_noise(root, experiment, ids)
    sample_id, treated_as = pick_sample(scores.ordered(), choice, votes(root, experiment, model, ids), noise_N)
    row = int(np.flatnonzero(scores.sample_id == sample_id)[0])
    line = _line(folder.tables["token"], row)
    sample = _with_tokens(scores.take(np.array([row])), line)
    token_pruners = sorted((p for p in pruners.TOKEN.values() if p.figure_row), key=lambda pruner: pruner.figure_row)
    selections = {p.name: _kept_positions(sample, p.name, budget, draw, folder) for p in token_pruners}
    if treated_as:
        place = int(np.flatnonzero(scores.ordered().sample_id[choice.rows] == sample_id)[0])
        if choice.pool is None or choice.pool[place] < 0:
            (selection,) = pruners.select_tokens(choice.take(np.array([place])), lambda: [sample])
            selections["qtuning"] = set(selection.kept_positions(0).tolist())
        else:
            selections["qtuning"] = _kept_of_pool(folder, scores, choice, place, spec)
    vocabulary = Tokenizer.from_file(str(tokenizer))
    prompt = vocabulary.decode([*_earlier_ids(folder, row), *line["prompt_ids"].as_py()])
    return Response(
        sample_id, prompt, texts(vocabulary, line["response_ids"].as_py()), selections, treated_as, len(ids)
    )


def _options(experiment: Experiment, folder: ScoresFolder) -> dict[str, Any]:
    """The options of the first Q-Tuning variant whose scores are there; a dynamic one may read others."""
    columns, token_columns = set(folder.columns("sample")), set(files.parquet_schema(folder.tables["token"]).names)
    for options in (variant.options for variant in experiment.variants if variant.method == "qtuning"):
        needs = pruners.needs("qtuning", options)
        if set(needs.samples) <= columns and set(needs.tokens) <= token_columns:
            return options
    return {}


def _kept_of_pool(folder: ScoresFolder, scores: Scores, choice: Choice, place: int, spec: PruningSpec) -> set[int]:
    """The positions kept of the sample number `place` of the choice, whose tokens compete with those of its pool."""
    assert choice.pool is not None
    members = np.flatnonzero(choice.pool == choice.pool[place])
    rows = np.argsort(scores.sample_id, kind="stable")[choice.rows[members]]
    by_file = np.argsort(rows)
    parts = pruners.select_tokens(
        choice.take(members[by_file]), lambda: kept_blocks(folder, scores, rows[by_file], spec)
    )
    sample_id = scores.ordered().sample_id[choice.rows[place]]
    kept = {int(i): part.kept_positions(n) for part in parts for n, i in enumerate(part.sample_id)}
    return set(kept[int(sample_id)].tolist())


def _earlier_ids(folder: ScoresFolder, row: int) -> list[int]:
    """What stands before the prompt of sample number `row`, if it continues a conversation."""
    path = folder.tables["sample"]
    if "continues" not in files.parquet_schema(path).names:
        return []
    continues_N = files.read_parquet(path, ["continues"])["continues"].to_numpy()[: row + 1]
    lines = [_line(folder.tables["token"], i) for i in range(int(np.flatnonzero(~continues_N)[-1]), row)]
    return [token for line in lines for name in ("prompt_ids", "response_ids") for token in line[name].as_py()]


def _line(path: Path, row: int) -> dict[str, Any]:
    """Row number `row` of the token table, by column; the rows before it are read piece by piece."""
    columns = [name for name in files.parquet_schema(path).names if name != "sample_id"]
    sizes = [ROWS_AT_ONCE] * (row // ROWS_AT_ONCE) + [row % ROWS_AT_ONCE, 1]
    table: pa.Table = next(islice(files.stream_parquet(path, columns, sizes), len(sizes) - 1, None))
    if missing := {"prompt_ids", "response_ids"} - set(columns):
        raise NothingToShow(f"{path.name} has no {' and '.join(sorted(missing))}, so no text")
    return {name: table[name][0] for name in columns}


def _with_tokens(sample: Scores, line: dict[str, Any]) -> Scores:
    """The sample with all of its token columns."""
    ids = ("prompt_ids", "response_ids")
    return replace(sample, tokens={name: np.array(v.as_py(), float) for name, v in line.items() if name not in ids})


def _kept_positions(sample: Scores, token: str, budget: Budget, draw: Draw, folder: ScoresFolder) -> set[int] | str:
    """The positions that the pair `random+<token>` keeps of the sample, or why they are unknown."""
    method = f"random+{token}"
    for column in pruners.needs(method).tokens:
        if column not in sample.tokens:
            return folder.left_out(column) or f"the scores have no column {column}"
    spec = PruningSpec(method=method, sample_ratio=1.0, token_ratio=budget.token_ratio)
    selection = pruners.select(sample, spec, draw)
    return set(selection.kept_positions(0).tolist())


def texts(vocabulary: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The text that each token adds to the preceding ones; empty for a part of an incomplete character."""
    ends = [len(_complete_text(vocabulary, ids[: n + 1])) for n in range(len(ids))]
    text = vocabulary.decode(ids, skip_special_tokens=False)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _complete_text(vocabulary: Tokenizer, ids: Sequence[int]) -> str:
    text: str = vocabulary.decode(ids, skip_special_tokens=False)
    return text.rstrip("\N{REPLACEMENT CHARACTER}")
