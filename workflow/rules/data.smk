# Data sets and base models: everything that comes from outside, or is generated in its place.


if EXPERIMENT.sandbox:

    rule world:
        output:
            sorted({source_file(ref) for ref in DATA_SETS if ref.hub}),
            text=f"{MIRROR}/sandbox/pretrain/default/train.jsonl",
        log:
            f"{R}/logs/world.log",
        benchmark:
            f"{R}/benchmarks/world.jsonl"
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("world"),
        params:
            seed=EXPERIMENT.sandbox.seed,
            version=STEP["world"],
        script:
            "../scripts/world.py"


rule dataset:
    input:
        source=source_file(EXPERIMENT.dataset),
    output:
        data=f"{R}/data/{EXPERIMENT.dataset.name}.parquet",
        counts=f"{R}/data/{EXPERIMENT.dataset.name}.json",
    log:
        f"{R}/logs/dataset.log",
    benchmark:
        f"{R}/benchmarks/dataset.jsonl"
    retries: DATA_RETRIES
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("dataset"),
    params:
        dataset=EXPERIMENT.dataset.model_dump(mode="json"),
        version=STEP["data"],
    script:
        "../scripts/dataset.py"


rule benchmark_items:
    input:
        source=lambda w: source_file(benchmark_data(w)),
    output:
        data=f"{R}/data/benchmarks/{{benchmark}}.jsonl",
    log:
        f"{R}/logs/benchmark/{{benchmark}}.log",
    benchmark:
        f"{R}/benchmarks/benchmark/{{benchmark}}.jsonl"
    retries: DATA_RETRIES
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("benchmark_items"),
    params:
        data=lambda w: benchmark_data(w).model_dump(mode="json"),
        version=STEP["data"],
    script:
        "../scripts/benchmark_items.py"


rule model:
    input:
        world=lambda w: rules.world.output.text if MODELS[w.model].pretrain else [],
    output:
        folder=directory(f"{R}/models/{{model}}"),
        manifest=f"{R}/models/{{model}}.json",
    log:
        f"{R}/logs/model/{{model}}.log",
    benchmark:
        f"{R}/benchmarks/model/{{model}}.jsonl"
    retries: MODEL_RETRIES
    conda:
        "../../envs/prunegrid.yaml"
    threads: 2
    resources:
        **needs("model"),
    params:
        source=lambda w: MODELS[w.model].model_dump(mode="json"),
        version=STEP["model"],
    script:
        "../scripts/model.py"
