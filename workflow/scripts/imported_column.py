"""Import one column of scores that something else made."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    from prunegrid.experiment.score_file import ScoreFile
    from prunegrid.scoring.score_file import import_scores

    column, file = snakemake.wildcards.column, Path(snakemake.input.file)
    # From the config, not from params: who made the scores changes none of them.
    settings = ScoreFile.model_validate(snakemake.config["scores"][column])
    data = snakemake.input.get("data")
    lines = import_scores(
        column,
        Path(snakemake.input.meta).parent,
        settings.model_copy(update={"file": str(file)}),
        Path(snakemake.output[0]),
        Path(data) if data else None,
    )
    print("\n".join(lines), flush=True)
