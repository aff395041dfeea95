"""`prunegrid show`: kept samples as text."""
