# Per cell: all benchmarks with lm-eval, the model loaded once. What was asked to its end is kept in the folder `asked/`
# beside the scores, which is not declared here: Snakemake would delete it before a job and after a failure.


rule evaluate:
    input:
        model=f"{R}/models/{{model}}",
        manifest=f"{R}/models/{{model}}.json",
        trained=trained_model,
        data=expand(rules.benchmark_items.output.data, benchmark=BENCHMARKS),
    output:
        scores=expand(f"{R}/evaluation/{{{{model}}}}/{{{{cell}}}}/{{benchmark}}.json", benchmark=BENCHMARKS),
        per_item=expand(f"{R}/evaluation/{{{{model}}}}/{{{{cell}}}}/{{benchmark}}.parquet", benchmark=BENCHMARKS),
    log:
        f"{R}/logs/evaluate/{{model}}/{{cell}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate/{{model}}/{{cell}}.jsonl"
    # Before the next training: cells come to their end one by one, not all at the end of the run.
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
