# Per cell: which samples, and which of their tokens, are kept. Reads scores only; seconds on one core.


rule prune:
    input:
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        extras=extra_scores,
        match=matched_summary,
        manifest=f"{R}/{layout.manifest(MODEL)}",
        data=rules.dataset.output.data,
    output:
        selection=f"{R}/{layout.pruned(CELL)}/{layout.SELECTION}",
        summary=f"{R}/{layout.pruned(CELL)}/{layout.SUMMARY}",
    log:
        f"{R}/{layout.log('prune', CELL)}",
    benchmark:
        f"{R}/{layout.benchmark('prune', CELL)}"
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
