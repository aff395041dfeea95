# Once per model: statistics of every sample and token of the training set under the base model. Scores do not depend on
# the number of shards, so that is no param.
SCORING = EXPERIMENT.scoring.model_dump(mode="json", exclude={"shards"})
SCORES = f"{R}/{layout.scores(MODEL)}"
SHARD = f"{R}/{layout.shard(MODEL, '{scatteritem}')}"
IN_PASS_FILES = [f"{layout.EXTRA}/{layout.extra_name(name)}" for name in IN_PASS]
IN_PASS_PARAMS = {"extra_version": STEP["extra"]} if IN_PASS else {}


wildcard_constraints:
    extra="|".join(name for name in EXTRAS if name not in {*IN_PASS, *QUERY_EXTRAS}) or "(?!)",
    column="|".join(map(re.escape, EXPERIMENT.scores)) or "(?!)",


scattergather:
    score=EXPERIMENT.scoring.shards,


rule score:
    input:
        **({"reference": reference_of_pass} if IN_PASS else {}),
        model=f"{R}/{layout.base_model(MODEL)}",
        manifest=f"{R}/{layout.manifest(MODEL)}",
        data=rules.dataset.output.data,
    output:
        **in_pass([temp(f"{SHARD}/{file}") for file in IN_PASS_FILES]),
        samples=temp(f"{SHARD}/{layout.SAMPLES}"),
        tokens=temp(f"{SHARD}/{layout.TOKENS}"),
        meta=temp(f"{SHARD}/{layout.META}"),
    log:
        f"{R}/{layout.log('score', layout.SHARD_JOB)}",
    benchmark:
        f"{R}/{layout.benchmark('score', layout.SHARD_JOB)}"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 2
    resources:
        **needs("score"),
    params:
        **IN_PASS_PARAMS,
        scoring=SCORING,
        device=EXPERIMENT.device,
        version=STEP["score"],
    script:
        "../scripts/score.py"


rule gather_scores:
    input:
        **in_pass([part for file in IN_PASS_FILES for part in gather.score(f"{SHARD}/{file}", model="{model}")]),
        samples=gather.score(f"{SHARD}/{layout.SAMPLES}", model="{model}"),
        tokens=gather.score(f"{SHARD}/{layout.TOKENS}", model="{model}"),
        meta=gather.score(f"{SHARD}/{layout.META}", model="{model}"),
    output:
        **in_pass([f"{SCORES}/{file}" for file in IN_PASS_FILES]),
        samples=f"{SCORES}/{layout.SAMPLES}",
        tokens=f"{SCORES}/{layout.TOKENS}",
        meta=f"{SCORES}/{layout.META}",
    log:
        f"{R}/{layout.log('gather_scores', MODEL)}",
    benchmark:
        f"{R}/{layout.benchmark('gather_scores', MODEL)}"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("gather_scores"),
    params:
        **IN_PASS_PARAMS,
        scoring=SCORING,
        device=EXPERIMENT.device,
        version=STEP["score"],
    script:
        "../scripts/gather_scores.py"


rule extra_score:
    input:
        model=f"{R}/{layout.base_model(MODEL)}",
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        reference=reference_model,
        data=extra_data,
        source=source_score,
    output:
        f"{R}/{layout.extra_score(MODEL, '{extra}')}",
    log:
        f"{R}/{layout.log('extra_score', layout.EXTRA_JOB)}",
    benchmark:
        f"{R}/{layout.benchmark('extra_score', layout.EXTRA_JOB)}"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 2
    resources:
        **needs("extra_score"),
    params:
        scoring={key: value for key, value in SCORING.items() if key != "extra"},
        device=EXPERIMENT.device,
        version=STEP["extra"],
    script:
        "../scripts/extra_score.py"


# A column of vectors is an Arrow file, which is mapped into memory.
use rule extra_score as vector_score with:
    output:
        f"{R}/{layout.extra_score(MODEL, '{extra}').removesuffix('.parquet')}{layout.VECTORS}",
    resources:
        **needs("vector_score"),


# Scores that something else made: the section `scores`. Only the text that says who made them is no param.
rule imported_column:
    input:
        file=score_file,
        samples=rules.gather_scores.output.samples,
        tokens=rules.gather_scores.output.tokens,
        meta=rules.gather_scores.output.meta,
        data=column_data,
    output:
        f"{R}/{layout.extra_score(MODEL, '{column}')}",
    log:
        f"{R}/{layout.log('imported_column', layout.COLUMN_JOB)}",
    benchmark:
        f"{R}/{layout.benchmark('imported_column', layout.COLUMN_JOB)}"
    conda:
        "../../envs/prunegrid.yaml"
    resources:
        **needs("imported_column"),
    params:
        settings=lambda wildcards: params.imported_column(EXPERIMENT, wildcards.column),
        version=STEP["import"],
    script:
        "../scripts/imported_column.py"


if EXPERIMENT.query:

    # The queries are read, rendered and run through the model in the job that compares all samples with them.
    rule query_score:
        input:
            model=f"{R}/{layout.base_model(MODEL)}",
            samples=rules.gather_scores.output.samples,
            tokens=rules.gather_scores.output.tokens,
            meta=rules.gather_scores.output.meta,
            query=source_file(EXPERIMENT.query),
        output:
            f"{R}/{layout.extra_score(MODEL, '{extra}')}",
        log:
            f"{R}/{layout.log('extra_score', layout.EXTRA_JOB)}",
        benchmark:
            f"{R}/{layout.benchmark('extra_score', layout.EXTRA_JOB)}"
        wildcard_constraints:
            extra="|".join(QUERY_EXTRAS),
        retries: DATA_RETRIES
        conda:
            "../../envs/prunegrid.yaml"
        threads: 2
        resources:
            **needs("query_score"),
        params:
            scoring=SCORING,
            device=EXPERIMENT.device,
            query=EXPERIMENT.query.model_dump(mode="json"),
            version=STEP["extra"],
        script:
            "../scripts/extra_score.py"
