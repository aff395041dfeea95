"""`pruning: {shards: 3}` on two nodes: `choose` and `cut` are jobs, and the selections are those of one shard."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from prunegrid.core import parts
from prunegrid.core.files import read_json
from support import slurm_runs
from support.private_slurm import PrivateSlurm

PRUNED = Path("results/sandbox/pruned/sandbox-1M/s0.125-t0.5")
CELLS = tuple(f"{name}/seed0" for name in slurm_runs.CONFIG["variants"])
OF_ITS_OWN = ("selection", "shards")  # facts of the files, not of what is kept
APART = {"set-resources": {"cut": {"mem_mb": 40_000}}}  # so that no node has room for two


def test_shards_cut_on_two_nodes_are_the_selection_of_one(
    undisturbed: Path, slurm: PrivateSlurm, tmp_path: Path
) -> None:
    folder, before = tmp_path / "run", set(slurm.jobs())
    shutil.copytree(undisturbed, folder, symlinks=True)
    shutil.rmtree(folder / PRUNED)
    targets = [str(PRUNED / cell / "selection.json") for cell in CELLS]
    slurm_runs.run(slurm, folder, *targets, mine=APART, pruning={"shards": 3})

    submitted = {job: comment for job, comment in slurm.jobs("completed").items() if job not in before}
    cuts = [job for job, comment in submitted.items() if comment.startswith("rule_cut_")]
    assert len(cuts) == 3 * len(CELLS)
    assert sum(comment.startswith("rule_choose_") for comment in submitted.values()) == len(CELLS)
    assert {slurm.detail(job, "NodeList") for job in cuts} == {"n1", "n2"}
    for cell in CELLS:
        one, three = undisturbed / PRUNED / cell, folder / PRUNED / cell
        assert parts.read_parts(three / "selection").equals(pq.read_table(one / "selection.parquet"))
        summaries = [read_json(path / "selection.json") for path in (one, three)]
        assert summaries[1]["shards"] == 3
        without = [{key: fact for key, fact in facts.items() if key not in OF_ITS_OWN} for facts in summaries]
        assert without[0] == without[1]
