"""Audit the pruners on what the sandbox planted (`snakemake audit`): measured, read from files, written, drawn."""
