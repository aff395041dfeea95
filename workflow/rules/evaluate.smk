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
        gpu=1 if ON_GPU else 0,
        mem_mb=lambda w, attempt: attempt * (32_000 if ON_GPU else 6_000),
        runtime=lambda w, attempt: attempt * 240,
    params:
        evaluation=EXPERIMENT.evaluation.model_dump(mode="json"),
        device=EXPERIMENT.device,
        version=STEP["evaluate"],
    script:
        "../scripts/evaluate.py"
