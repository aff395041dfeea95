# Once per model: statistics of every sample and token of the training set, under the base model.


rule score:
    input:
        model=f"{R}/models/{{model}}",
        manifest=f"{R}/models/{{model}}.json",
        data=rules.dataset.output.data,
    output:
        scores=directory(f"{R}/scores/{{model}}"),
    log:
        f"{R}/logs/score/{{model}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{model}}.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 2
    resources:
        gpu=1 if ON_GPU else 0,
        mem_mb=32_000 if ON_GPU else 6_000,
        runtime=240,
    params:
        scoring=EXPERIMENT.scoring.model_dump(mode="json"),
        device=EXPERIMENT.device,
        version=STEP["score"],
    script:
        "../scripts/score.py"
