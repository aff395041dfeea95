"""What follows when a training job runs out of memory: its next attempt uses less.

The reductions are kept in the checkpoints' folder, for this job alone.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from prunegrid.core.files import read_json, write_json
from prunegrid.training.job import Order

FILE = "memory.json"
MAX_HALVINGS = 6


def reductions(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The fields of an order that save memory, as earlier attempts of the job of this `identity` decided."""
    path = folder / FILE
    stored = read_json(path) if path.exists() else {}
    if stored.get("identity") != identity:
        return {}
    return {"halvings": stored["halvings"], "checkpointing": stored.get("checkpointing", False)}


def use_less(order: Order) -> str:
    """Have the next attempt use less memory, and say how: gradient checkpointing if it may, else halved passes."""
    stored = {"halvings": order.halvings, "checkpointing": order.checkpointing, "identity": order.identity}
    if order.job.training.gradient_checkpointing == "auto" and not order.checkpointing:
        write_json(order.checkpoints / FILE, stored | {"checkpointing": True})
        return "the next attempt turns gradient checkpointing on"
    if order.halvings == MAX_HALVINGS:
        key = "a smaller training.batch_tokens" if order.checkpoints_layers else "training.gradient_checkpointing"
        return f"the passes have been halved {MAX_HALVINGS} times: set {key}"
    write_json(order.checkpoints / FILE, stored | {"halvings": order.halvings + 1})
    return "the next attempt halves its forward passes (same global batch)"


def kernel_kills() -> int:
    """How many processes the kernel has killed so far because memory ran out: of this cgroup, else of the machine."""
    cgroups = Path("/proc/self/cgroup")
    cgroup = cgroups.read_text().rpartition("0::/")[2].strip() if cgroups.exists() else ""
    for path in (Path("/sys/fs/cgroup", cgroup, "memory.events"), Path("/proc/vmstat")):
        with suppress(OSError):
            counts = dict(line.split() for line in path.read_text().splitlines())
            return int(counts["oom_kill"])
    return 0
