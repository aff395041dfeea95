# Per cell: choose the samples to keep, and their tokens. Reads scores only; takes seconds on one core.
# With pruning.shards > 1 the samples are chosen by one job, and each shard of the token table is cut by one of its own.

if EXPERIMENT.pruning.shards == 1:

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

else:

    rule choose:
        input:
            samples=rules.gather_scores.output.samples,
            tokens=rules.gather_scores.output.tokens,
            meta=rules.gather_scores.output.meta,
            extras=extra_scores,
            match=cell_input(inputs.match_input),
            manifest=f"{R}/{layout.manifest(MODEL)}",
            data=rules.dataset.output.data,
        output:
            f"{R}/{layout.choice(CELL)}",
        log:
            f"{R}/{layout.log('choose', CELL)}",
        benchmark:
            f"{R}/{layout.benchmark('choose', CELL)}"
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("choose"),
        params:
            pruning=cell_param(params.pruning),
            foreign=cell_param(params.foreign_versions),
            version=STEP["prune"],
        script:
            "../scripts/choose.py"

    rule cut:
        input:
            choice=rules.choose.output[0],
            samples=rules.gather_scores.output.samples,
            tokens=rules.gather_scores.output.tokens,
            meta=rules.gather_scores.output.meta,
            extras=extra_scores,
        output:
            f"{R}/{layout.part(CELL, '{part}')}",
        log:
            f"{R}/{layout.log('cut', layout.PART_JOB)}",
        benchmark:
            f"{R}/{layout.benchmark('cut', layout.PART_JOB)}"
        wildcard_constraints:
            part=r"\d{5}-of-\d{5}",
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("cut"),
        params:
            foreign=cell_param(params.foreign_versions),
            version=STEP["prune"],
        script:
            "../scripts/cut.py"

    rule gather_selection:
        input:
            choice=rules.choose.output[0],
            parts=[f"{R}/{file}" for file in layout.selection(CELL, EXPERIMENT.pruning.shards)],
        output:
            f"{R}/{layout.pruned(CELL)}/{layout.SUMMARY}",
        log:
            f"{R}/{layout.log('gather_selection', CELL)}",
        benchmark:
            f"{R}/{layout.benchmark('gather_selection', CELL)}"
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("gather_selection"),
        params:
            version=STEP["prune"],
        script:
            "../scripts/gather_selection.py"
