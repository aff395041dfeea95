# Data sets and base models: everything that comes from outside, or is generated in its place.
from pathlib import Path

from prunegrid.data import locate
from prunegrid.versions import STEP


MIRROR = f"{R}/world" if EXPERIMENT.sandbox else EXPERIMENT.data_mirror
WORLD = f"{R}/world/sandbox" if EXPERIMENT.sandbox else []


def source_file(ref):
    """The file a data set is read from; in the sandbox it is generated, elsewhere [] means the hub."""
    if EXPERIMENT.sandbox and ref.hub:
        return str(ref.below(Path(MIRROR)))
    return locate(ref, MIRROR) or []


def data_of(wildcards):
    return EXPERIMENT.evaluation.benchmarks[wildcards.benchmark].data


if EXPERIMENT.sandbox:
    SANDBOX_DATA = [EXPERIMENT.dataset, *(b.data for b in EXPERIMENT.evaluation.benchmarks.values())]

    rule world:
        output:
            {str(ref.below(Path(MIRROR))) for ref in SANDBOX_DATA if ref.hub},
            text=f"{MIRROR}/sandbox/pretrain/default/train.jsonl",
        params:
            folder=MIRROR,
            seed=EXPERIMENT.sandbox.seed,
            version=STEP["world"],
        log:
            f"{R}/logs/world.log",
        script:
            "../scripts/world.py"


rule dataset:
    input:
        source=source_file(EXPERIMENT.dataset),
    output:
        data=f"{R}/data/{EXPERIMENT.dataset.name}.parquet",
        counts=f"{R}/data/{EXPERIMENT.dataset.name}.json",
    params:
        dataset=EXPERIMENT.dataset.model_dump(mode="json"),
        version=STEP["data"],
    log:
        f"{R}/logs/dataset.log",
    benchmark:
        f"{R}/benchmarks/dataset.jsonl"
    retries: 0 if source_file(EXPERIMENT.dataset) else 2
    script:
        "../scripts/dataset.py"


rule benchmark_items:
    input:
        source=lambda w: source_file(data_of(w)),
    output:
        data=f"{R}/data/benchmarks/{{benchmark}}.jsonl",
    params:
        data=lambda w: data_of(w).model_dump(mode="json"),
        version=STEP["data"],
    log:
        f"{R}/logs/benchmark/{{benchmark}}.log",
    script:
        "../scripts/benchmark_items.py"


rule model:
    input:
        world=lambda w: rules.world.output.text if EXPERIMENT.models[w.model].pretrain else [],
    output:
        folder=directory(f"{R}/models/{{model}}"),
        manifest=f"{R}/models/{{model}}.json",
    params:
        source=lambda w: EXPERIMENT.models[w.model].model_dump(mode="json"),
        world=MIRROR,
        version=STEP["model"],
    log:
        f"{R}/logs/model/{{model}}.log",
    benchmark:
        f"{R}/benchmarks/model/{{model}}.jsonl"
    threads: 2
    resources:
        mem_mb=16_000,
        runtime=120,
    script:
        "../scripts/model.py"
