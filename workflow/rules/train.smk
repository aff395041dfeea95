# Per cell: fine-tune the base model on what was kept, with DeepSpeed ZeRO under torchrun.


rule train:
    input:
        model=f"{R}/models/{{model}}",
        manifest=f"{R}/models/{{model}}.json",
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        selection=selection_of,
    output:
        model=directory(f"{R}/trained/{{model}}/{{cell}}/model"),
        manifest=f"{R}/trained/{{model}}/{{cell}}/training.json",
    log:
        f"{R}/logs/train/{{model}}/{{cell}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{model}}/{{cell}}.jsonl"
    retries: 1
    conda:
        "../../envs/prunegrid.yaml"
    threads: EXPERIMENT.training.ranks
    resources:
        gpu=EXPERIMENT.training.ranks if ON_GPU else 0,
        mem_mb=lambda w, attempt: attempt * (24_000 * EXPERIMENT.training.ranks if ON_GPU else 8_000),
        runtime=lambda w, attempt: attempt * 480,
    params:
        training=training,
        seed=lambda w: cell_of(w).seed,
        device=EXPERIMENT.device,
        version=STEP["train"],
    script:
        "../scripts/train.py"
