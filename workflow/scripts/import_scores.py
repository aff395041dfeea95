"""Import one cell's scores on one benchmark from a file that something else wrote."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    from prunegrid.core import file_sums
    from prunegrid.core.files import read_json
    from prunegrid.evaluation.imported import import_scores
    from prunegrid.experiment.evaluation import Benchmark

    manifest, digests = Path(snakemake.input.manifest), read_json(Path(snakemake.input.manifest))["digests"]
    training = [Path(snakemake.input.training)] if snakemake.input.get("training") else []
    for report in training:
        digests |= {key: value for key, value in read_json(report).items() if key == "weights"}
    import_scores(
        Path(snakemake.params.file),
        Path(snakemake.output.score).parent,
        snakemake.wildcards.imported,
        Benchmark.model_validate(snakemake.params.benchmark),
        snakemake.params.protocol,
        {
            "digests": digests,
            "inputs": file_sums.relative_sums(file_sums.hash_files(training), manifest.parents[1]),
        },
    )
