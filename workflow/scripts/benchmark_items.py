"""Make one benchmark's items a local file, so that evaluation needs no network."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.data.datasets import write_benchmark
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Benchmark

with step(snakemake.log[0]):
    # What lm-eval's own task is asked with; of other benchmarks the data.
    stock = snakemake.params.data.get("benchmark")
    ref = Benchmark.model_validate(stock).data if stock else DataRef.model_validate(snakemake.params.data)
    # The input of a folder or glob is its files; the path says which of them are the split's.
    local = (ref.path if ref else None) or snakemake.input.get("source") or None
    out = Path(snakemake.output.data)
    if stock:
        from prunegrid.evaluation.stock_items import write_stock_items

        # From the config, not from params: a mirror that moves must not run finished jobs again.
        mirror = snakemake.config.get("data_mirror")
        write_stock_items(Benchmark.model_validate(stock), out, mirror=mirror, local=local)
    else:
        write_benchmark(ref, local, out)
