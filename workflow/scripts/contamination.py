"""Look for the items of all benchmarks in the training set."""

from pathlib import Path

from prunegrid.core.files import read_records, repair, write_json
from prunegrid.core.step import step
from prunegrid.data.contamination import Benchmark, find_contamination, read_samples, without_examples

with step(snakemake.log[0]):
    files = map(Path, snakemake.input.benchmarks)
    benchmarks = {file.stem: Benchmark(without_examples(read_records(file, repair(file)))) for file in files}
    write_json(Path(snakemake.output.record), find_contamination(benchmarks, read_samples(Path(snakemake.input.data))))
