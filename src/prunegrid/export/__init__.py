"""Export: a selection in the form that another trainer reads."""
