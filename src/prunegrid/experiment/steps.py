"""The steps of an experiment: the jobs of Snakemake's target `all`, what each makes, and what it needs.

`status` looks here for what a cell waits for, `plan` for what to estimate, and the rule `collect` for what to collect.
A test compares the list with the jobs that Snakemake plans. Paths are relative to the results folder (`layout`).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import PurePath

from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.inputs import (
    drawn_scores,
    extra_columns,
    extra_inputs,
    imported_columns,
    imported_data,
    match_input,
    optional_sets,
    reference_name,
    selection_files,
    training_input,
    weights_input,
    world_file,
    world_files,
)
from prunegrid.experiment.step import Step
from prunegrid.pruners.columns import (
    DATA_EXTRAS,
    DERIVED_EXTRAS,
    EXTRAS,
    QUERY_EXTRAS,
    REFERENCE_EXTRAS,
    VECTOR_EXTRAS,
    complete_extras,
)

Exists = Callable[[str], bool]
SCORES = (layout.SAMPLES, layout.TOKENS, layout.META)


def all_steps(experiment: Experiment) -> list[Step]:
    """Every step: data, base models and scores, cells in the table's order, reports."""
    models = [step for model in experiment.models for step in model_steps(experiment, model)]
    cells = [step for cell in grid.cells(experiment) for step in cell_steps(experiment, cell)]
    return [*data_steps(experiment), *models, *cells, *report_steps(experiment)]


def required_steps(experiment: Experiment, cell: Cell) -> list[Step]:
    """The steps that a cell's evaluation needs, shared ones first, its own last."""
    world, dataset, items = _world(experiment), _dataset(experiment), _items(experiment)
    if not cell.trained:
        return [*world, _base_model(experiment, cell.model), *items, *_own_steps(experiment, cell)]
    scores = [_base_model(experiment, cell.model), dataset, *score_steps(experiment, cell.model)]
    return [*world, *scores, *items, *_selection_inputs(experiment, cell), *_own_steps(experiment, cell)]


def cell_steps(experiment: Experiment, cell: Cell) -> list[Step]:
    """The cell's own steps: `prune`, `train`, `evaluate` and imports of scores, those that apply."""
    return [*_own_steps(experiment, cell), *import_steps(experiment, cell)]


def import_steps(experiment: Experiment, cell: Cell) -> list[Step]:
    """An `import_scores` for each imported benchmark; the user's file is looked for when it runs."""
    needs = _files(layout.manifest(cell.model), training_input(experiment, cell))
    names = experiment.evaluation.imported
    files = {name: (layout.score(cell.name, name), layout.answers(cell.name, name)) for name in names}
    return [Step("import_scores", f"{cell.name}/{name}", makes, needs, cell=cell) for name, makes in files.items()]


def _own_steps(experiment: Experiment, cell: Cell) -> list[Step]:
    steps = [_train(experiment, cell)] if cell.trained else []
    if cell.pruned and not grid.dynamic(experiment, cell):
        steps = [*prune_steps(experiment, cell), *steps]
    return [*steps, _evaluate(experiment, cell)]


def data_steps(experiment: Experiment) -> list[Step]:
    return [*_world(experiment), _dataset(experiment), *_items(experiment), *_contamination(experiment)]


def model_steps(experiment: Experiment, model: str) -> list[Step]:
    """A base model and its scores, with its reference model and optional scores where a cell needs them."""
    extras = extra_columns(experiment, model)
    read = {*extras, *experiment.scoring.extra}
    references = [_base_model(experiment, reference_name(model))] if REFERENCE_EXTRAS & read else []
    optional = [_extra_score(experiment, model, name) for name in extras]
    optional += [_imported_column(experiment, model, name) for name in imported_columns(experiment, model)]
    return [_base_model(experiment, model), *references, *score_steps(experiment, model), *optional]


def score_steps(experiment: Experiment, model: str) -> list[Step]:
    """The shards of the scoring pass, and the step that puts them together."""
    extras = experiment.scoring.extra
    files_made = (*SCORES, *(f"{layout.EXTRA}/{layout.extra_name(name)}" for name in extras))
    reference = (layout.base_model(reference_name(model)),) if REFERENCE_EXTRAS & {*extras} else ()
    inputs = (layout.base_model(model), layout.manifest(model), layout.dataset(experiment.dataset.name), *reference)
    parts = [f"{part}-of-{experiment.scoring.shards}" for part in range(1, experiment.scoring.shards + 1)]
    files = {part: tuple(f"{layout.shard(model, part)}/{file}" for file in files_made) for part in parts}
    shards = [Step("score", f"{model}/{part}", outputs, inputs, temporary=outputs) for part, outputs in files.items()]
    gathered = (*_scores(model), *(layout.extra_score(model, name) for name in extras))
    return [*shards, Step("gather_scores", model, gathered, tuple(chain.from_iterable(files.values())))]


def report_steps(experiment: Experiment) -> list[Step]:
    """From all cells to the table, the figures and the page."""
    results = (layout.RESULTS, layout.DELTAS)
    contrasts = (layout.CONTRASTS,) if experiment.contrasts else ()
    contamination = (layout.CONTAMINATION,) if experiment.contamination else ()
    record = layout.RESULTS_RECORD
    tables = tuple(map(layout.table, ("md", "csv", "tex", "html")))
    scored = tuple(file for model in experiment.models for file in _scores(model) if layout.META not in file)
    drawn = (*results, layout.EXPERIMENT, *scored, *map(layout.base_model, experiment.models))
    return [
        Step("record", "", (layout.EXPERIMENT,)),
        Step("collect", "", (*results, *contrasts, record), (*cell_files(experiment), layout.EXPERIMENT)),
        Step("table", "", tables, (*results, *contrasts, *contamination, layout.EXPERIMENT)),
        Step("figures", "", (layout.FIGURES,), drawn),
        Step("report", "", (layout.REPORT,), (*drawn, *contrasts, *contamination)),
    ]


def cell_files(experiment: Experiment) -> Iterator[str]:
    """The lasting files of all cells: a missing one is noticed even if what was made from it exists."""
    for cell in grid.cells(experiment):
        for step in cell_steps(experiment, cell):
            yield from step.lasting


def finished(steps: Sequence[Step], exists: Exists) -> set[Step]:
    """The steps whose files exist; a temporary file may be gone if no unfinished step needs it."""
    done, inputs = set(), set[str]()  # steps; what unfinished ones need
    for step in reversed(steps):
        if all(map(exists, step.lasting)) and all(exists(file) for file in step.temporary if file in inputs):
            done.add(step)
        else:
            inputs.update(step.needs)
    return done


def first_missing(steps: Sequence[Step], exists: Exists) -> Step:
    """The first step that has to run before the last one can."""
    first = steps[-1]
    inputs = set(first.needs)
    for step in reversed(steps[:-1]):
        if any(file in inputs and not exists(file) for file in step.makes):
            first = step
            inputs.update(step.needs)
    return first


def _world(experiment: Experiment) -> list[Step]:
    if experiment.sandbox is None:
        return []
    drawn = [Step("world_option", name, (f"{layout.WORLD}/{name}.jsonl",)) for name in optional_sets(experiment)]
    return [Step("world", "", (*world_files(experiment), layout.WORLD_TEXT)), *drawn]


def _dataset(experiment: Experiment) -> Step:
    name = experiment.dataset.name
    files = (layout.dataset(name), layout.dataset_counts(name))
    return Step("dataset", "", files, _source(experiment, experiment.dataset))


def _items(experiment: Experiment) -> list[Step]:
    return [
        Step("benchmark_items", name, (layout.benchmark_items(name),), _item_sources(experiment, benchmark))
        for name, benchmark in experiment.evaluation.asked.items()
    ]


def _contamination(experiment: Experiment) -> list[Step]:
    needs = (layout.dataset(experiment.dataset.name), *map(layout.benchmark_items, experiment.evaluation.asked))
    return [Step("contamination", "", (layout.CONTAMINATION,), needs)] if experiment.contamination else []


def _item_sources(experiment: Experiment, benchmark: Benchmark) -> tuple[str, ...]:
    rows = benchmark.example_rows
    refs = [benchmark.data, rows.data if rows else None]
    return tuple(dict.fromkeys(file for ref in refs for file in _source(experiment, ref)))


def _source(experiment: Experiment, ref: DataRef | None) -> tuple[str, ...]:
    """The step `world` makes a data set of the sandbox; others come from outside."""
    return (world_file(ref),) if experiment.sandbox and ref and ref.hub else ()


def _base_model(experiment: Experiment, model: str) -> Step:
    text = (layout.WORLD_TEXT,) if experiment.sources[model].pretrain else ()
    return Step("model", model, (layout.base_model(model), layout.manifest(model)), text)


def _files(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


def _scores(model: str) -> tuple[str, ...]:
    return tuple(f"{layout.scores(model)}/{file}" for file in SCORES)


def _extra_score(experiment: Experiment, model: str, column: str) -> Step:
    reference = (layout.base_model(reference_name(model)),) if column in REFERENCE_EXTRAS else ()
    data = (layout.dataset(experiment.dataset.name),) if column in DATA_EXTRAS else ()
    source = (layout.extra_score(model, DERIVED_EXTRAS[column]),) if column in DERIVED_EXTRAS else ()
    query = _source(experiment, experiment.query) if column in QUERY_EXTRAS else ()
    inputs = (layout.base_model(model), *_scores(model), *reference, *data, *source, *query)
    rule = "vector_score" if column in VECTOR_EXTRAS else "query_score" if column in QUERY_EXTRAS else "extra_score"
    return Step(rule, f"{model}/{column}", (layout.extra_score(model, column),), inputs)


def _imported_column(experiment: Experiment, model: str, column: str) -> Step:
    """The user's file is looked for when it runs."""
    needs = _files(*_scores(model), imported_data(experiment, column), drawn_scores(experiment, column))
    return Step("imported_column", f"{model}/{column}", (layout.extra_score(model, column),), needs)


def prune_steps(experiment: Experiment, cell: Cell) -> list[Step]:
    """The jobs that make a static cell's selection: `prune`, or `choose`, a `cut` for each shard, and its summary."""
    needs = _files(
        *_scores(cell.model),
        *extra_inputs(experiment, cell).values(),
        match_input(experiment, cell),
        layout.manifest(cell.model),
        layout.dataset(experiment.dataset.name),
    )
    shards, summary = experiment.pruning.shards, f"{layout.pruned(cell.name)}/{layout.SUMMARY}"
    parts = layout.selection(cell.name, shards)
    if shards == 1:
        return [Step("prune", cell.name, (*parts, summary), needs, cell=cell)]
    choice = layout.choice(cell.name)
    inputs = (choice, *_scores(cell.model), *extra_inputs(experiment, cell).values())
    return [
        Step("choose", cell.name, (choice,), needs, cell=cell),
        *(Step("cut", f"{cell.name}/{PurePath(part).stem}", (part,), inputs, cell=cell) for part in parts),
        Step("gather_selection", cell.name, (summary,), (choice, *parts), cell=cell),
    ]


def _train(experiment: Experiment, cell: Cell) -> Step:
    """A dynamic cell is pruned in its training, which so makes its selection, too."""
    folder, weights = layout.trained(cell.name), layout.weights(cell.name)
    dynamic = grid.dynamic(experiment, cell)
    selection = (f"{folder}/{layout.SELECTION_LOG}", f"{folder}/{layout.SUMMARY}") if dynamic else ()
    return Step(
        "train_dynamic" if dynamic else "train",
        cell.name,
        (weights, layout.training(cell.name), *selection),
        _files(
            layout.base_model(cell.model),
            layout.manifest(cell.model),
            *_scores(cell.model),
            *selection_files(experiment, cell),
            *(extra_inputs(experiment, cell).values() if dynamic else ()),
        ),
        temporary=() if grid.keeps_weights(experiment) else (weights,),
        cell=cell,
    )


def _evaluate(experiment: Experiment, cell: Cell) -> Step:
    benchmarks = experiment.evaluation.asked
    outputs = (file(cell.name, name) for name in benchmarks for file in (layout.score, layout.answers))
    models = _files(layout.base_model(cell.model), layout.manifest(cell.model), weights_input(experiment, cell))
    return Step("evaluate", cell.name, tuple(outputs), (*models, *map(layout.benchmark_items, benchmarks)), cell=cell)


def _selection_inputs(experiment: Experiment, cell: Cell) -> Iterator[Step]:
    """What only some selections need: optional scores, the reference model, the selection that is matched."""
    if not cell.pruned:
        return
    extras = complete_extras(grid.extra_columns(experiment, cell))
    made = EXTRAS.keys() - {*experiment.scoring.extra}
    if REFERENCE_EXTRAS & {*extras, *experiment.scoring.extra}:
        yield _base_model(experiment, reference_name(cell.model))
    yield from (_extra_score(experiment, cell.model, name) for name in extras if name in made)
    yield from (_imported_column(experiment, cell.model, name) for name in extras if name in experiment.scores)
    if matched := grid.matched_cell(experiment, cell):
        yield from _selection_inputs(experiment, matched)
        yield from prune_steps(experiment, matched)
