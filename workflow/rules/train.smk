# Per cell: fine-tune the base model with DeepSpeed ZeRO on the selection; a dynamic cell is pruned while it is trained.
# Checkpoints are in trained/.../checkpoints, which is no output, so that a rerun resumes from them.


rule train:
    input:
        model=f"{R}/{layout.base_model(MODEL)}",
        manifest=f"{R}/{layout.manifest(MODEL)}",
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        selection=selection_files,
        extras=training_extras,
    output:
        model=weights(f"{R}/{layout.weights(CELL)}"),
        manifest=f"{R}/{layout.training(CELL)}",
    log:
        f"{R}/{layout.log('train', CELL)}",
    benchmark:
        f"{R}/{layout.benchmark('train', CELL)}"
    wildcard_constraints:
        cell=rf"(?!{DYNAMIC})(?:{grid.PATH})",
    priority: 1
    retries: 1
    conda:
        "../../envs/prunegrid.yaml"
    threads: RANKS
    resources:
        **needs("train"),
    params:
        training=cell_param(params.training),
        pruning=cell_param(params.pruning_in_training),
        shuffled=cell_param(params.shuffled),
        seed=cell_param(params.seed),
        device=EXPERIMENT.device,
        version=cell_param(params.training_versions),
    script:
        "../scripts/train.py"


use rule train as train_dynamic with:
    output:
        model=weights(f"{R}/{layout.weights(CELL)}"),
        manifest=f"{R}/{layout.training(CELL)}",
        log=f"{R}/{layout.trained(CELL)}/{layout.SELECTION_LOG}",
        summary=f"{R}/{layout.trained(CELL)}/{layout.SUMMARY}",
    wildcard_constraints:
        cell=DYNAMIC,
