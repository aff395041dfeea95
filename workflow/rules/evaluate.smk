# Per cell: all benchmarks with lm-eval, the model loaded once. Finished benchmarks stay in the folder `cache/` beside
# the scores, which is not declared here: Snakemake would delete it before a job and after a failure.


rule evaluate:
    input:
        model=f"{R}/{layout.base_model(MODEL)}",
        manifest=f"{R}/{layout.manifest(MODEL)}",
        trained=cell_input(steps.weights_input),
        data=expand(rules.benchmark_items.output.data, benchmark=BENCHMARKS),
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
        evaluation=EXPERIMENT.evaluation.model_dump(mode="json"),
        device=EXPERIMENT.device,
        version=STEP["evaluate"],
    script:
        "../scripts/evaluate.py"
