"""Exporters: a selection in the form that another trainer reads.

The room is not called `export`, because `prunegrid.export` is a function.
"""
