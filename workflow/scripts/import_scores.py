"""Import one cell's scores on one benchmark from a file that something else wrote."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    from prunegrid.core import file_sums
    from prunegrid.core.files import read_json
    from prunegrid.evaluation.imported import import_scores
    from prunegrid.experiment.sections import Benchmark

    manifest, training = Path(snakemake.input.manifest), [Path(file) for file in snakemake.input.get("training", [])]
    weights = [read_json(file).get("weights") for file in training]
    import_scores(
        Path(snakemake.params.file),
        Path(snakemake.output.score).parent,
        snakemake.wildcards.imported,
        Benchmark.model_validate(snakemake.params.benchmark),
        snakemake.params.protocol,
        {
            "digests": read_json(manifest)["digests"] | {"weights": digest for digest in weights if digest},
            "inputs": file_sums.relative_sums(file_sums.hash_files(training), manifest.parents[1]),
        },
    )
