# Snakemake looks for the workflow here: snakemake --cores all [TARGET] [--configfile experiments/NAME.yaml]
include: "workflow/Snakefile"


workflow.default_target = "all"  # which `include` leaves as it was: none
