# Once per model: statistics of every sample and token of the training set, under the base model.
# What is scored does not depend on the number of shards.
SCORING = EXPERIMENT.scoring.model_dump(mode="json", exclude={"shards"})
SHARD = f"{R}/scores/{{model}}/shards/{{scatteritem}}"


wildcard_constraints:
    extra="|".join(EXTRAS),


scattergather:
    score=EXPERIMENT.scoring.shards,


rule score:
    input:
        model=f"{R}/models/{{model}}",
        manifest=f"{R}/models/{{model}}.json",
        data=rules.dataset.output.data,
    output:
        samples=temp(f"{SHARD}/samples.parquet"),
        tokens=temp(f"{SHARD}/tokens.parquet"),
        meta=temp(f"{SHARD}/meta.json"),
    log:
        f"{R}/logs/score/{{model}}/{{scatteritem}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{model}}/{{scatteritem}}.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 2
    resources:
        **needs("score"),
    params:
        scoring=SCORING,
        device=EXPERIMENT.device,
        version=STEP["score"],
    script:
        "../scripts/score.py"


rule gather_scores:
    input:
        samples=gather.score(f"{SHARD}/samples.parquet", model="{model}"),
        tokens=gather.score(f"{SHARD}/tokens.parquet", model="{model}"),
        meta=gather.score(f"{SHARD}/meta.json", model="{model}"),
    output:
        samples=f"{R}/scores/{{model}}/samples.parquet",
        tokens=f"{R}/scores/{{model}}/tokens.parquet",
        meta=f"{R}/scores/{{model}}/meta.json",
    log:
        f"{R}/logs/gather_scores/{{model}}.log",
    benchmark:
        f"{R}/benchmarks/gather_scores/{{model}}.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("gather_scores"),
    params:
        scoring=SCORING,
        device=EXPERIMENT.device,
        version=STEP["score"],
    script:
        "../scripts/gather_scores.py"


rule extra_score:
    input:
        model=f"{R}/models/{{model}}",
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        reference=reference_model,
    output:
        f"{R}/scores/{{model}}/extra/{{extra}}.parquet",
    log:
        f"{R}/logs/extra_score/{{model}}/{{extra}}.log",
    benchmark:
        f"{R}/benchmarks/extra_score/{{model}}/{{extra}}.jsonl"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 2
    resources:
        **needs("extra_score"),
    params:
        scoring=SCORING,
        device=EXPERIMENT.device,
        version=STEP["extra"],
    script:
        "../scripts/extra_score.py"
