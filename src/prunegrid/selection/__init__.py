"""Pruning: from scores to a selection."""
