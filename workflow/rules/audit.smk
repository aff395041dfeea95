# On the sandbox: what every registered pruner keeps of what was planted. `snakemake audit`; not part of the table.


rule audit:
    input:
        scores=audited(rules.gather_scores.output),
        extras=audited_extras,
        models=audited(rules.model.output.folder),
        manifests=audited(rules.model.output.manifest),
        data=rules.dataset.output.data,
    output:
        table=f"{R}/audit/audit.parquet",
        markdown=f"{R}/audit/audit.md",
        figure=f"{R}/audit/audit.png",
    log:
        f"{R}/logs/audit.log",
    benchmark:
        f"{R}/benchmarks/audit.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 1
    resources:
        **needs("audit"),
    params:
        models=list(grid.audited(EXPERIMENT)),
        ratios=grid.audited_ratios(EXPERIMENT),
        title=f"Audit of the pruners: {EXPERIMENT.experiment}",
        pruners=REGISTERED,
        foreign=FOREIGN,
        version=STEP["audit"],
    script:
        "../scripts/audit.py"
