"""List the cells that are no longer in the config, and delete them with --yes."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import EXPERIMENT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, help=EXPERIMENT)
    parser.add_argument("--yes", action="store_true", help="delete them: selections, weights, item scores, logs")


def run(options: argparse.Namespace) -> None:
    from prunegrid.core.text import byte_size
    from prunegrid.experiment.locate import find
    from prunegrid.status import leftovers

    experiment, root = find(options.experiment)
    names = leftovers.old_cells(experiment, root)
    total = 0
    for name in names:
        space = leftovers.size(leftovers.cell_paths(root, name))
        total += space
        if options.yes:
            leftovers.remove(root, name)
        print(f"  {byte_size(space):>8}  {name}")
    if not names:
        print(f"{root}: no old cells")
        return
    command = f"delete them with `prunegrid clean {options.experiment} --yes`"
    print(f"{root}: old cells: {len(names)}, {byte_size(total)}; {'deleted' if options.yes else command}")
