# Per cell: which samples, and which of their tokens, are kept. Reads scores only; seconds on one core.


rule prune:
    input:
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        extras=extra_scores,
        match=matched_summary,
        manifest=f"{R}/models/{{model}}.json",
        data=rules.dataset.output.data,
    output:
        selection=f"{R}/pruned/{{model}}/{{cell}}/selection.parquet",
        summary=f"{R}/pruned/{{model}}/{{cell}}/selection.json",
    log:
        f"{R}/logs/prune/{{model}}/{{cell}}.log",
    benchmark:
        f"{R}/benchmarks/prune/{{model}}/{{cell}}.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("prune"),
    params:
        pruning=pruning,
        foreign=foreign_pruners,
        version=STEP["prune"],
    script:
        "../scripts/prune.py"
