"""An experiment's figures, drawn from its results folder: `prunegrid figures results/<experiment>`."""
