# From all evaluations to one tidy file, the table and the page. If cells have failed, the same functions write a partial
# table and page.
from prunegrid.published import V2_TABLES


rule record:
    output:
        experiment=f"{R}/{layout.EXPERIMENT}",
    log:
        f"{R}/{layout.log('record')}",
    benchmark:
        f"{R}/{layout.benchmark('record')}"
    priority: 100
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("record"),
    params:
        experiment=EXPERIMENT.model_dump(mode="json"),
    script:
        "../scripts/record.py"


rule collect:
    input:
        all_cell_files,
        experiment=rules.record.output.experiment,
    output:
        results=f"{R}/{layout.RESULTS}",
        deltas=f"{R}/{layout.DELTAS}",
        contrasts=[f"{R}/{layout.CONTRASTS}"] if EXPERIMENT.contrasts else [],
        record=f"{R}/{layout.RESULTS_RECORD}",
    log:
        f"{R}/{layout.log('collect')}",
    benchmark:
        f"{R}/{layout.benchmark('collect')}"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("collect"),
    params:
        version=STEP["collect"],
    script:
        "../scripts/collect.py"


rule table:
    input:
        results=rules.collect.output.results,
        deltas=rules.collect.output.deltas,
        contrasts=rules.collect.output.contrasts,
        contamination=rules.contamination.output if EXPERIMENT.contamination else [],
        experiment=rules.record.output.experiment,
    output:
        markdown=f"{R}/{layout.table('md')}",
        csv=f"{R}/{layout.table('csv')}",
        latex=f"{R}/{layout.table('tex')}",
        html=report(f"{R}/{layout.table('html')}", caption="../report/table.rst", category="Table"),
    log:
        f"{R}/{layout.log('table')}",
    benchmark:
        f"{R}/{layout.benchmark('table')}"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("table"),
    params:
        version=STEP["table"],
    script:
        "../scripts/table.py"


rule report:
    input:
        results=rules.collect.output.results,
        deltas=rules.collect.output.deltas,
        contrasts=rules.collect.output.contrasts,
        contamination=rules.contamination.output if EXPERIMENT.contamination else [],
        experiment=rules.record.output.experiment,
        samples=expand(rules.gather_scores.output.samples, model=EXPERIMENT.models),
        tokens=expand(rules.gather_scores.output.tokens, model=EXPERIMENT.models),
        models=expand(rules.model.output.folder, model=EXPERIMENT.models),
    output:
        report(
            f"{R}/{layout.REPORT}",
            caption="../report/page.rst",
            category="Explore",
            labels={"file": "All results, to explore"},
        ),
    log:
        f"{R}/{layout.log('report')}",
    benchmark:
        f"{R}/{layout.benchmark('report')}"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 1
    resources:
        **needs("report"),
    params:
        version=STEP["report"],
    script:
        "../scripts/report.py"


rule published:
    output:
        results="results/published/results.parquet",
        markdown="results/published/table/table.md",
        csv="results/published/table/table.csv",
        html=report("results/published/table/table.html", caption="../report/published.rst", category="Published"),
        v2=expand(
            "results/published/v2/table{number}/{file}",
            number=V2_TABLES,
            file=["results.parquet", "table/table.md", "table/table.csv", "table/table.html"],
        ),
    log:
        "results/published/logs/published.log",
    benchmark:
        "results/published/benchmarks/published.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("published"),
    params:
        version=STEP["table"],
    script:
        "../scripts/published.py"
