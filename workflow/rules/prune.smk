# Per cell: which samples, and which of their tokens, are kept. Reads scores only; seconds on one core.


def variant_of(wildcards):
    return EXPERIMENT.variant(grid.find(EXPERIMENT, wildcards.model, wildcards.cell).variant)


def pruning(wildcards):
    """What decides a selection, besides the scores."""
    cell, variant = grid.find(EXPERIMENT, wildcards.model, wildcards.cell), variant_of(wildcards)
    return {
        "variant": variant.name,
        "method": variant.method,
        "options": variant.options,
        **cell.budget.model_dump(),
        "seed": cell.seed,
    }


rule prune:
    input:
        scores=rules.score.output.scores,
        manifest=f"{R}/models/{{model}}.json",
        data=rules.dataset.output.data,
    output:
        selection=f"{R}/pruned/{{model}}/{{cell}}/selection.parquet",
        summary=f"{R}/pruned/{{model}}/{{cell}}/selection.json",
    params:
        pruning=pruning,
        version=STEP["prune"],
    log:
        f"{R}/logs/prune/{{model}}/{{cell}}.log",
    benchmark:
        f"{R}/benchmarks/prune/{{model}}/{{cell}}.jsonl"
    group:
        "prune"
    resources:
        mem_mb=4_000,
        runtime=30,
    script:
        "../scripts/prune.py"
