"""What dynamic pruning must select while weights stand still: static pruning."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from prunegrid import pruners
from prunegrid.experiment.training import Training
from prunegrid.pruners import Draw, PruningSpec, SelectionArrays, select
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.training.dynamic_summary import StepPosition
from prunegrid.training.schedule import MicroBatches, schedule, steps_per_epoch, total_steps

SEED = 0


def pruning(method: str) -> PruningSpec:
    return PruningSpec(method=method, sample_ratio=0.5, token_ratio=0.5).complete()


def plan_of(scores: Path, settings: Training, rank: int = 0) -> list[MicroBatches]:
    ids = pq.read_table(scores / "samples.parquet")["sample_id"].to_numpy()
    return schedule(ids, len(ids), settings, SEED, rank)


def moment_of(step: int, settings: Training, rank: int = 0, candidates: int = 20) -> StepPosition:
    each = steps_per_epoch(candidates, settings)
    return StepPosition(step // each, step, rank, step / total_steps(candidates, settings))


def statically(scores: Path, method: str, rows: list[int], moment: StepPosition) -> SelectionArrays:
    """The static pruners on the scoring pass's files: of these samples alone, at this moment."""
    of_batch = ScoresFolder(scores).read(pruners.needs(method)).take(np.array(rows))
    draw = Draw(SEED, moment.epoch, moment.step, moment.progress)
    return select(of_batch, pruning(method), draw)


def expected_log(scores: Path, method: str, settings: Training) -> list[dict[str, Any]]:
    """The rows of `selection_log.parquet` of a job whose weights do not change, in the file's order."""
    rows = []
    for rank in range(settings.ranks):
        for step, micro_batches in enumerate(plan_of(scores, settings, rank)):
            moment = moment_of(step, settings, rank)
            for batch in filter(None, micro_batches):
                chosen = statically(scores, method, batch, moment)
                rows += [
                    {
                        "epoch": moment.epoch,
                        "step": step,
                        "rank": rank,
                        "sample_id": int(chosen.sample_id[i]),
                        "kept": len(chosen.kept_positions(i)),
                        "quadrant": int(chosen.quadrant[i]),
                        "reason": str(chosen.reason[i]),
                        "treated_as": int(chosen.treated_as[i]),
                    }
                    for i in range(len(chosen))
                ]
    return sorted(rows, key=lambda row: (row["step"], row["rank"], row["sample_id"]))
