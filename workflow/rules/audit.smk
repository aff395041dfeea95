# On the sandbox: what every registered pruner keeps of the planted kinds. `snakemake audit`; not part of the table.


rule audit:
    input:
        scores=audited(rules.gather_scores.output),
        extras=audited_extras,
        models=audited(rules.model.output.folder),
        manifests=audited(rules.model.output.manifest),
        data=rules.dataset.output.data,
    output:
        table=f"{R}/{layout.audit('parquet')}",
        markdown=f"{R}/{layout.audit('md')}",
        figure=f"{R}/{layout.audit('png')}",
    log:
        f"{R}/{layout.log('audit')}",
    benchmark:
        f"{R}/{layout.benchmark('audit')}"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 1
    resources:
        **needs("audit"),
    params:
        models=list(AUDITED),
        ratios=audit_plan.audited_ratios(EXPERIMENT),
        title=f"Audit of the pruners: {EXPERIMENT.experiment}",
        pruners=REGISTERED,
        foreign=FOREIGN,
        version=STEP["audit"],
    script:
        "../scripts/audit.py"
