# From all evaluations to one tidy file and the table; the same functions serve when cells have failed.
from pathlib import Path


def record_experiment():
    """Leave the validated config beside the results: `prunegrid table` needs nothing else."""
    from prunegrid.io import write_json

    write_json(Path(R, "experiment.json"), EXPERIMENT.model_dump(mode="json"))


def table_of_what_is_there():
    """Some job failed: show the cells that are there, and which are not."""
    from prunegrid.table import build

    build(Path(R))
    print(f"prunegrid: a job failed; the table of what is there: {R}/table/table.md")


rule collect:
    input:
        evaluations=[
            f"{R}/evaluation/{cell.model}/{cell.path}/{benchmark}.json" for cell in CELLS for benchmark in BENCHMARKS
        ],
        selections=[f"{R}/pruned/{cell.model}/{cell.path}/selection.json" for cell in CELLS if cell.pruned],
        trainings=[f"{R}/trained/{cell.model}/{cell.path}/training.json" for cell in CELLS if cell.trained],
    output:
        results=f"{R}/results.parquet",
    params:
        experiment=EXPERIMENT.model_dump(mode="json"),
        root=R,
        version=STEP["collect"],
    log:
        f"{R}/logs/collect.log",
    script:
        "../scripts/collect.py"


rule table:
    input:
        results=rules.collect.output.results,
    output:
        markdown=f"{R}/table/table.md",
        csv=f"{R}/table/table.csv",
        html=report(f"{R}/table/table.html", caption="../report/table.rst", category="Table"),
    params:
        experiment=EXPERIMENT.model_dump(mode="json"),
        root=R,
        version=STEP["table"],
    log:
        f"{R}/logs/table.log",
    script:
        "../scripts/table.py"


rule published:
    output:
        results="results/published/results.parquet",
        markdown="results/published/table/table.md",
        csv="results/published/table/table.csv",
        html=report("results/published/table/table.html", caption="../report/published.rst", category="Published"),
    params:
        version=STEP["table"],
    log:
        "results/published/logs/published.log",
    script:
        "../scripts/published.py"
