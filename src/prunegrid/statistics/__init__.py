"""How far a difference can be trusted: pairing over items, intervals, corrections."""
