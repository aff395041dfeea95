# From a training set to the delta-annotated table. What is computed stands in the config, how it runs in a profile:
#   snakemake --cores all [TARGET] [--configfile experiments/NAME.yaml]
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid, layout, seed_rule
from prunegrid.experiment.config import check_command_line, load
from prunegrid.experiment.locate import read_yaml

min_version("9.0")

if not workflow.config_settings.configfiles:

    # The one of the folder that the run is in, else (--directory) the one beside this file.
    CONFIG_FILE = "config.yaml" if Path("config.yaml").exists() else workflow.source_path("config.yaml")
    try:
        read_yaml(Path(CONFIG_FILE))
    except PrunegridError as error:
        raise WorkflowError(str(error)) from None

    configfile: CONFIG_FILE


try:
    check_command_line([*(workflow.config_settings.config_args or ()), *map(str, workflow.configfiles)])
    EXPERIMENT = load(config, ", ".join(map(str, workflow.configfiles)) or "--config")
    if EXPERIMENT.seed_rule:
        from prunegrid.statistics import seed_count

        # Only a run as a whole may add seeds; its jobs, which read this file again, take the number that it recorded.
        current = seed_count.announced if workflow.is_main_process else seed_rule.recorded
        EXPERIMENT = current(EXPERIMENT, Path(EXPERIMENT.results))
except PrunegridError as error:
    raise WorkflowError(str(error)) from None

R = EXPERIMENT.results


include: "workflow/rules/common.smk"


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    cell=grid.PATH,
    benchmark="|".join(map(re.escape, BENCHMARKS)),


report: "workflow/report/workflow.rst"


localrules:
    all,
    record,
    published,


include: "workflow/rules/resources.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/prune.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/terminal.smk"


rule all:
    default_target: True
    input:
        all_cell_files,
        rules.collect.output,
        f"{R}/{layout.table('md')}",
        rules.figures.output,
        rules.report.output,


onstart:
    print_stale_cells()
    record_intentions()
    watch_cells()


onsuccess:
    print_table()


onerror:
    write_partial_table()
