# Per cell: fine-tune the base model on what was kept, with DeepSpeed ZeRO under torchrun.


def selection_of(wildcards):
    """The cell's selection; none for the full data set."""
    cell = grid.find(EXPERIMENT, wildcards.model, wildcards.cell)
    return f"{R}/pruned/{cell.model}/{cell.path}/selection.parquet" if cell.pruned else []


def training(wildcards):
    """The experiment's training, with the variant's own removal where it names one."""
    cell = grid.find(EXPERIMENT, wildcards.model, wildcards.cell)
    own = EXPERIMENT.variant(cell.variant).removal if cell.pruned else None
    settings = EXPERIMENT.training.model_dump(mode="json")
    return settings | {"removal": own} if own else settings


rule train:
    input:
        model=f"{R}/models/{{model}}",
        manifest=f"{R}/models/{{model}}.json",
        scores=rules.score.output.scores,
        selection=selection_of,
    output:
        model=directory(f"{R}/trained/{{model}}/{{cell}}/model"),
        manifest=f"{R}/trained/{{model}}/{{cell}}/training.json",
    params:
        training=training,
        seed=lambda w: grid.find(EXPERIMENT, w.model, w.cell).seed,
        device=EXPERIMENT.device,
        version=STEP["train"],
    log:
        f"{R}/logs/train/{{model}}/{{cell}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{model}}/{{cell}}.jsonl"
    resources:
        gpu=EXPERIMENT.training.ranks if EXPERIMENT.device == "cuda" else 0,
        mem_mb=lambda w, attempt: attempt * (64_000 if EXPERIMENT.device == "cuda" else 8_000),
        runtime=lambda w, attempt: attempt * 480,
    script:
        "../scripts/train.py"
