# Per cell: fine-tune the base model with DeepSpeed ZeRO on what was kept; a dynamic cell is pruned meanwhile.
# Checkpoints stand in trained/.../checkpoints, which is no output: a rerun goes on from them.


rule train:
    input:
        model=f"{R}/{layout.base_model(MODEL)}",
        manifest=f"{R}/{layout.manifest(MODEL)}",
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        selection=selection_of,
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
        training=training,
        pruning=pruning_while_training,
        shuffled=lambda w: cell_of(w).variant == "shuffled-responses",
        seed=lambda w: cell_of(w).seed,
        device=EXPERIMENT.device,
        version=training_versions,
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
