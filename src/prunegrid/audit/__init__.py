"""Audit the pruners on what the sandbox planted (`snakemake audit`): measure, read, report, draw."""
