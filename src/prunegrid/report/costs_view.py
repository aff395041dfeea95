"""Scores against what they took: trained tokens, steps and sample passes, which are counted, and the measured cost."""

from typing import TYPE_CHECKING

from prunegrid.report.page import View

if TYPE_CHECKING:
    from prunegrid.report.build import Source

AXES = {
    "Tokens": "Trained tokens, all epochs",
    "Steps": "Optimizer steps",
    "Passes": "Samples trained on, all epochs",
    "Cost": "Training and the share of the scoring pass",
}
COUNTED = "Counted: the same on every machine."
MEASURED = "Measured: depends on the machine and its other load. Small differences mean nothing."


def view(source: "Source") -> View | None:
    """The view `costs`, of the rows of the view `table`; None if nothing is known of what they took."""
    axes = [
        {"measure": name, "title": title, "words": COUNTED}
        for name, title in AXES.items()
        if name in source.table.measures and name != "Cost"
    ]
    if "Cost" in source.table.measures:
        unit = source.table.unit
        axes.append({"measure": "Cost", "title": f"{AXES['Cost']} ({unit})", "words": MEASURED})
    return View("costs", "Costs", {"axes": axes}) if axes else None
