"""Scores of the base model over the training set, one value a sample or a token."""
