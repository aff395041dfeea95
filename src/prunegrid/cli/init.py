"""Write a Snakefile, a config and profiles into a folder, to run the workflow there."""

import argparse
import shlex
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from prunegrid.experiment.project import shipped_experiments

    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder, which may exist; no file is replaced")
    names = shipped_experiments()
    text = f"start from this experiment instead of the sandbox: {', '.join(names)}"
    parser.add_argument("--experiment", choices=names, metavar="NAME", help=text)


def run(options: argparse.Namespace) -> None:
    from prunegrid.core.extras import install_command, missing_modules
    from prunegrid.experiment.project import write_project

    for path in write_project(options.folder, options.experiment):
        print(f"  {path}")
    print("next, after editing config.yaml if you like:")
    if missing_modules("workflow"):
        print(f"  {install_command('snakemake')}")
    if options.folder.resolve() != Path.cwd():
        print(f"  cd {shlex.quote(str(options.folder))}")
    print("  snakemake --cores all")
