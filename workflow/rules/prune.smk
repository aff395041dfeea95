# Per cell: choose the samples to keep, and their tokens. Reads scores only; takes seconds on one core.


rule prune:
    input:
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        extras=extra_scores,
        match=cell_input(inputs.match_input),
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
        pruning=cell_param(params.pruning),
        foreign=cell_param(params.foreign_versions),
        version=STEP["prune"],
    script:
        "../scripts/prune.py"
