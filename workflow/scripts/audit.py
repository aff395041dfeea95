"""Audit all pruners on the sandbox's planted kinds: a tidy table, Markdown and a figure."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    import pyarrow as pa

    from prunegrid import pruners
    from prunegrid.audit.figure import draw
    from prunegrid.audit.files import read_inputs
    from prunegrid.audit.measure import audit
    from prunegrid.audit.report import markdown
    from prunegrid.core import files

    for method in snakemake.params.foreign:
        pruners.check_method(method, {})
    found = audit(
        *read_inputs(Path(snakemake.output.table).parents[1], snakemake.params.models, Path(snakemake.input.data)),
        **snakemake.params.ratios,
    )
    files.write_parquet(Path(snakemake.output.table), pa.Table.from_pandas(found, preserve_index=False))
    files.write_text(Path(snakemake.output.markdown), markdown(found, snakemake.params.title))
    with files.replacing(Path(snakemake.output.figure)) as temporary:
        draw(found, temporary)
