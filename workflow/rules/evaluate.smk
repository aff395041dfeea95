# Per cell: all benchmarks with lm-eval, the model loaded once. Finished benchmarks stay in the folder `cache/` beside
# the scores, which is not declared here: Snakemake would delete it before a job and after a failure.


rule evaluate:
    input:
        model=f"{R}/{layout.base_model(MODEL)}",
        manifest=f"{R}/{layout.manifest(MODEL)}",
        trained=cell_input(inputs.weights_input),
        data=expand(rules.benchmark_items.output.data, benchmark=BENCHMARKS),
        tasks=[str(file) for file in call(source_files, EXPERIMENT.evaluation.tasks)],
    output:
        scores=[f"{R}/{layout.score(CELL, name)}" for name in BENCHMARKS],
        per_item=[f"{R}/{layout.answers(CELL, name)}" for name in BENCHMARKS],
    log:
        f"{R}/{layout.log('evaluate', CELL)}",
    benchmark:
        f"{R}/{layout.benchmark('evaluate', CELL)}"
    # Before the next training, so that cells finish one by one, not all at the end of the run.
    priority: 2
    retries: 1
    conda:
        "../../envs/prunegrid.yaml"
    threads: 1
    resources:
        **needs("evaluate"),
    params:
        evaluation=EXPERIMENT.evaluation.without_imported().model_dump(mode="json"),
        device=EXPERIMENT.device,
        version=STEP["evaluate"],
    script:
        "../scripts/evaluate.py"


# Per cell and imported benchmark: scores from outside. A file that is not there yet fails this job, not the whole run.
if IMPORTED:

    rule import_scores:
        input:
            manifest=f"{R}/{layout.manifest(MODEL)}",
            training=cell_input(inputs.training_input),
            scores=scores_from_outside,
        output:
            score=f"{R}/{layout.score(CELL, IMPORT)}",
            per_item=f"{R}/{layout.answers(CELL, IMPORT)}",
        log:
            f"{R}/{layout.log('import_scores', IMPORT_JOB)}",
        benchmark:
            f"{R}/{layout.benchmark('import_scores', IMPORT_JOB)}"
        wildcard_constraints:
            imported="|".join(map(re.escape, IMPORTED)),
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("import_scores"),
        params:
            file=lambda w: imported.scores_file(EXPERIMENT, cell_of(w), w.imported),
            benchmark=lambda w: EXPERIMENT.evaluation.benchmarks[w.imported].model_dump(mode="json"),
            protocol=EXPERIMENT.evaluation.protocol,
            version=STEP["evaluate"],
        script:
            "../scripts/import_scores.py"
