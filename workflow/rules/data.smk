# Data sets and base models: what comes from outside, or is generated in its place.


if EXPERIMENT.sandbox:

    rule world:
        output:
            [f"{R}/{file}" for file in inputs.world_files(EXPERIMENT)],
            text=f"{R}/{layout.WORLD_TEXT}",
        log:
            f"{R}/{layout.log('world')}",
        benchmark:
            f"{R}/{layout.benchmark('world')}"
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("world"),
        params:
            **EXPERIMENT.sandbox.model_dump(mode="json"),
            version=STEP["world"],
        script:
            "../scripts/world.py"

    # A data set that only some experiments read: its rule is its own, so that asking for one draws no world again.
    rule world_option:
        output:
            f"{R}/{layout.WORLD}/{{optional}}.jsonl",
        log:
            f"{R}/{layout.log('world_option', '{optional}')}",
        benchmark:
            f"{R}/{layout.benchmark('world_option', '{optional}')}"
        wildcard_constraints:
            optional="|".join(map(re.escape, inputs.optional_sets(EXPERIMENT))) or "(?!)",
        conda:
            "../../envs/prunegrid.yaml"
        resources:
            **needs("world_option"),
        params:
            **EXPERIMENT.sandbox.model_dump(mode="json"),
            version=STEP["world"],
        script:
            "../scripts/world_option.py"


rule dataset:
    input:
        source=source_file(EXPERIMENT.dataset),
    output:
        data=f"{R}/{layout.dataset(EXPERIMENT.dataset.name)}",
        counts=f"{R}/{layout.dataset_counts(EXPERIMENT.dataset.name)}",
    log:
        f"{R}/{layout.log('dataset')}",
    benchmark:
        f"{R}/{layout.benchmark('dataset')}"
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
        source=lambda w: source_file(EXPERIMENT.evaluation.benchmarks[w.benchmark].data),
        examples=lambda w: example_files(EXPERIMENT.evaluation.benchmarks[w.benchmark]),
    output:
        data=f"{R}/{layout.benchmark_items('{benchmark}')}",
    log:
        f"{R}/{layout.log('benchmark_items', '{benchmark}')}",
    benchmark:
        f"{R}/{layout.benchmark('benchmark_items', '{benchmark}')}"
    retries: DATA_RETRIES
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("benchmark_items"),
    params:
        data=lambda w: params.benchmark_items(EXPERIMENT, w.benchmark),
        version=STEP["data"],
    script:
        "../scripts/benchmark_items.py"


rule contamination:
    input:
        data=rules.dataset.output.data,
        benchmarks=expand(rules.benchmark_items.output.data, benchmark=BENCHMARKS),
    output:
        record=f"{R}/{layout.CONTAMINATION}",
    log:
        f"{R}/{layout.log('contamination')}",
    benchmark:
        f"{R}/{layout.benchmark('contamination')}"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("contamination"),
    params:
        version=STEP["contamination"],
    script:
        "../scripts/contamination.py"


rule model:
    input:
        world=lambda w: rules.world.output.text if MODELS[w.model].pretrain else [],
    output:
        folder=directory(f"{R}/{layout.base_model(MODEL)}"),
        manifest=f"{R}/{layout.manifest(MODEL)}",
    log:
        f"{R}/{layout.log('model', MODEL)}",
    benchmark:
        f"{R}/{layout.benchmark('model', MODEL)}"
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
