"""How far a difference may be trusted: pairing over items, intervals, corrections."""
