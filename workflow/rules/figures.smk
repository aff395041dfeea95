# Every figure of the experiment, from the results and the scores. The config alone decides which figures there are.


rule figures:
    input:
        results=rules.collect.output.results,
        deltas=rules.collect.output.deltas,
        experiment=rules.record.output.experiment,
        samples=expand(rules.gather_scores.output.samples, model=EXPERIMENT.models),
        tokens=expand(rules.gather_scores.output.tokens, model=EXPERIMENT.models),
        models=expand(rules.model.output.folder, model=EXPERIMENT.models),
    output:
        [figure(model, name) for model in EXPERIMENT.models for name in FIGURES],
        [f"{R}/{layout.figure(model, name, 'png')}" for model in EXPERIMENT.models for name in FIGURES],
    log:
        f"{R}/{layout.log('figures')}",
    benchmark:
        f"{R}/{layout.benchmark('figures')}"
    conda:
        "../../envs/prunegrid.yaml"
    threads: 1
    resources:
        **needs("figures"),
    params:
        version=STEP["figures"],
    script:
        "../scripts/figures.py"
