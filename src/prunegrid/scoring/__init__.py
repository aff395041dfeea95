"""Scores of the base model over the training set, one value per sample or token."""
