# What the rules look up: the experiment's files and, for a cell's wildcards, its inputs and params. What these are is
# decided in the package (experiment.inputs, experiment.params, audit.plan), where it is typed and tested.
# A change of params runs finished jobs again, and so must not follow from how a job runs or from whose code is trusted:
# scripts read these two, the sections `runtime` and `models.*.trust_remote_code`, from `snakemake.config` instead.
import re
from pathlib import Path

from prunegrid import pruners
from prunegrid.audit import plan as audit_plan
from prunegrid.core.versions import STEP
from prunegrid.data.datasets import locate
from prunegrid.data.sources import input_files
from prunegrid.experiment import imported, inputs, params, seed_rule, statement, steps
from prunegrid.figures.names import figures as figures_of
from prunegrid.pruners.columns import DATA_EXTRAS, DERIVED_EXTRAS, EXTRAS, QUERY_EXTRAS, REFERENCE_EXTRAS
from prunegrid.tasks.outside import source_files

MODEL, CELL = layout.MODEL, layout.CELL
IMPORT, IMPORT_JOB = layout.IMPORT, layout.IMPORT_JOB
CELLS = {(cell.model, cell.path): cell for cell in grid.cells(EXPERIMENT)}
MODELS = audit_plan.all_models(EXPERIMENT)
AUDITED = audit_plan.audited_models(EXPERIMENT)
BENCHMARKS, IMPORTED = map(list, (EXPERIMENT.evaluation.asked, EXPERIMENT.evaluation.imported))
REGISTERED = [list(registry) for registry in (pruners.SAMPLE, pruners.TOKEN, pruners.JOINT)]
FOREIGN = [variant.method for variant in EXPERIMENT.variants if ":" in variant.method]
FIGURES = figures_of(EXPERIMENT)
DYNAMIC = grid.dynamic_path(EXPERIMENT)
ON_GPU = EXPERIMENT.device == "cuda"


def call(function, *arguments):
    """The function's result; an error of ours becomes Snakemake's, which is shown without a traceback."""
    try:
        return function(*arguments)
    except PrunegridError as error:
        raise WorkflowError(str(error)) from None


def local_source(ref):
    """The file, folder or glob a data set is read from: generated in the sandbox; elsewhere None means the hub."""
    if EXPERIMENT.sandbox and ref.hub:
        return f"{R}/{inputs.world_file(ref)}"
    return locate(ref, EXPERIMENT.data_mirror)


def source_file(ref):
    """The files a data set is read from; [] means the hub, or what lm-eval's own task names."""
    local = local_source(ref) if ref else None
    return call(input_files, ref, local) if local else []


def example_files(benchmark):
    """The files that a benchmark's examples are read from; [] if it has none, or they come from the hub."""
    if benchmark.example_rows:
        return source_file(benchmark.example_rows.data)
    return benchmark.examples or []


# Only a download is worth a second try.
DATA_RETRIES = None if all(map(local_source, EXPERIMENT.data_sets)) else 2
MODEL_RETRIES = 2 if any(model.hub or model.wheel for model in MODELS.values()) else None


call(imported.check_patterns, EXPERIMENT)


def cell_of(wildcards):
    try:
        return CELLS[wildcards.model, wildcards.cell]
    except KeyError:
        raise WorkflowError(f"{wildcards.model}/{wildcards.cell} is not a cell of {EXPERIMENT.experiment}") from None


def cell_param(value):
    """A param of a cell's rule, by a function of `experiment.params`."""
    return lambda wildcards: value(EXPERIMENT, cell_of(wildcards))


def cell_input(file):
    """An input of a cell's rule, by a function of `experiment.inputs`; [] if the cell has none."""

    def path(wildcards):
        name = file(EXPERIMENT, cell_of(wildcards))
        return [] if name is None else f"{R}/{name}"

    return path


def selection_files(wildcards):
    """What a static cell is trained on; [] for the other cells."""
    files = [f"{R}/{name}" for name in inputs.selection_files(EXPERIMENT, cell_of(wildcards))]
    return files[0] if len(files) == 1 else files


def scores_from_outside(wildcards):
    """The file of a cell's imported scores, if it exists."""
    file = imported.scores_file(EXPERIMENT, cell_of(wildcards), wildcards.imported)
    return [file] if Path(file).exists() else []


def extra_scores(wildcards):
    """Optional scores, made only because the cell's pruners read them."""
    cell = cell_of(wildcards)
    call(inputs.check_own_scores, EXPERIMENT, cell, Path(R))
    return [f"{R}/{file}" for file in inputs.extra_inputs(EXPERIMENT, cell).values()]


def training_extras(wildcards):
    """Optional scores that a dynamic cell reads while it is trained; other cells read none in training."""
    return extra_scores(wildcards) if grid.dynamic(EXPERIMENT, cell_of(wildcards)) else []


def reference_model(wildcards):
    """The model that a score of REFERENCE_EXTRAS is computed under."""
    name = layout.base_model(inputs.reference_name(wildcards.model))
    return f"{R}/{name}" if wildcards.extra in REFERENCE_EXTRAS else []


def reference_of_pass(wildcards):
    """The reference model, if the scoring pass computes a score under it."""
    name = layout.base_model(inputs.reference_name(wildcards.model))
    return f"{R}/{name}" if REFERENCE_EXTRAS & {*EXPERIMENT.scoring.extra} else []


def extra_data(wildcards):
    """The training set, for a score of DATA_EXTRAS."""
    return rules.dataset.output.data if wildcards.extra in DATA_EXTRAS else []


def source_score(wildcards):
    """The optional score that one of DERIVED_EXTRAS is computed from."""
    source = DERIVED_EXTRAS.get(wildcards.extra)
    return f"{R}/{layout.extra_score(wildcards.model, source)}" if source else []


def score_file(wildcards):
    """The user's file of an imported column."""
    return call(inputs.score_file, EXPERIMENT, wildcards.model, wildcards.column)


def column_data(wildcards):
    """The training set, where it tells whose the scores of an imported column are."""
    name = inputs.imported_data(EXPERIMENT, wildcards.column)
    return f"{R}/{name}" if name else []


def all_cell_files(wildcards):
    return [f"{R}/{file}" for file in steps.cell_files(EXPERIMENT)]


def weights(folder):
    """The output of a trained model, which `runtime.retention` may delete once it is evaluated."""
    return directory(folder) if grid.keeps_weights(EXPERIMENT) else temp(directory(folder))


def audited(file):
    """`file` of each base model of the audit; an error if the experiment cannot be audited."""

    def files(wildcards):
        if error := audit_plan.audit_error(EXPERIMENT):
            raise WorkflowError(str(error))
        return expand(file, model=AUDITED)

    return files


def audited_extras(wildcards):
    """The optional scores of each base model of the audit."""
    names = audit_plan.audited_extras(EXPERIMENT) if AUDITED else []
    return [f"{R}/{layout.extra_score(model, name)}" for model in AUDITED for name in names]


def figure(model, name):
    """One figure's SVG, with the caption of its kind in the report."""
    caption = f"../report/{FIGURES[name]}.rst"
    return report(f"{R}/{layout.figure(model, name, 'svg')}", caption=caption, category="Figures", subcategory=model)


def print_stale_cells():
    """Before any job, the finished cells that are stale. This only informs: nothing in the results can stop a run."""
    from prunegrid.status.text import stale_lines

    try:
        lines = stale_lines(EXPERIMENT, Path(R))
    except Exception as error:
        lines = [f"cannot tell which finished cells are stale: {error}"]
    for line in lines:
        print(f"prunegrid: {line}", flush=True)


def record_intentions():
    """Before any job: how many seeds this run makes, where `seeds` is a rule; which contrasts the config states."""
    if workflow.is_main_process:
        seed_rule.record(EXPERIMENT, Path(R))
        statement.record(EXPERIMENT, Path(R))


def write_partial_table():
    """A job failed: write the table and the page of the cells that are finished, which say what is missing."""
    from snakemake.io import IOFile

    from prunegrid.core.files import write_json
    from prunegrid.report.build import build as build_page
    from prunegrid.table.build import build

    if not Path(R).exists():
        return
    for output in (*rules.collect.output, *rules.table.output, *rules.report.output):
        # Snakemake has recorded other inputs of these files: they are to be made again once all cells are finished.
        workflow.persistence.cleanup_metadata(IOFile(output))
    try:
        write_json(Path(R, layout.EXPERIMENT), EXPERIMENT.model_dump(mode="json"))
        build(Path(R))
        print(f"prunegrid: a job failed; the table of the finished cells: {R}/{layout.table('md')}")
        print(f"prunegrid: the page of the finished cells: {build_page(Path(R))}")
    except PrunegridError as error:
        print(f"prunegrid: a job failed; could not write the table or the page: {error}")


# Optional scores that the scoring pass computes, which no rule of their own then makes.
IN_PASS = EXPERIMENT.scoring.extra


def in_pass(files):
    """The files of these optional scores, as inputs or outputs; a pass without any has no such key."""
    return {"extra": files} if IN_PASS else {}
