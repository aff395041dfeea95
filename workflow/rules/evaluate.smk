# Per cell: all benchmarks with lm-eval, the model loaded once.
BENCHMARKS = list(EXPERIMENT.evaluation.benchmarks)


def trained_model(wildcards):
    """The cell's fine-tuned model; none for zero-shot."""
    cell = grid.find(EXPERIMENT, wildcards.model, wildcards.cell)
    return f"{R}/trained/{cell.model}/{cell.path}/model" if cell.trained else []


rule evaluate:
    input:
        model=f"{R}/models/{{model}}",
        manifest=f"{R}/models/{{model}}.json",
        trained=trained_model,
        data=expand(rules.benchmark_items.output.data, benchmark=BENCHMARKS),
    output:
        scores=expand(f"{R}/evaluation/{{{{model}}}}/{{{{cell}}}}/{{benchmark}}.json", benchmark=BENCHMARKS),
        per_item=expand(f"{R}/evaluation/{{{{model}}}}/{{{{cell}}}}/{{benchmark}}.parquet", benchmark=BENCHMARKS),
    params:
        evaluation=EXPERIMENT.evaluation.model_dump(mode="json"),
        device=EXPERIMENT.device,
        version=STEP["evaluate"],
    log:
        f"{R}/logs/evaluate/{{model}}/{{cell}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate/{{model}}/{{cell}}.jsonl"
    resources:
        gpu=1 if EXPERIMENT.device == "cuda" else 0,
        mem_mb=lambda w, attempt: attempt * (32_000 if EXPERIMENT.device == "cuda" else 6_000),
        runtime=lambda w, attempt: attempt * 240,
    script:
        "../scripts/evaluate.py"
