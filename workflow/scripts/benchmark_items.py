"""Make one benchmark's items a local file, so that evaluation needs no network."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.data.datasets import write_benchmark
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.examples import Examples

with step(snakemake.log[0]):
    # What lm-eval's own task is asked with; of other benchmarks the data, or data and examples.
    given = snakemake.params.data
    stock = given.get("benchmark")
    examples = given.get("examples")
    examples = Examples.model_validate(examples) if isinstance(examples, dict) else examples
    data = given["data"] if examples else given
    ref = Benchmark.model_validate(stock).data if stock else DataRef.model_validate(data)
    # The input of a folder or glob is its files; the path says which of them are the split's.
    local = (ref.path if ref else None) or snakemake.input.get("source") or None
    out = Path(snakemake.output.data)
    if stock:
        from prunegrid.evaluation.stock_items import write_stock_items

        # From the config, not from params: a mirror that moves must not run finished jobs again.
        mirror = snakemake.config.get("data_mirror")
        write_stock_items(Benchmark.model_validate(stock), out, mirror=mirror, local=local)
    else:
        path = examples.data.path if isinstance(examples, Examples) else None
        write_benchmark(ref, local, out, examples, path or snakemake.input.get("examples") or None)
