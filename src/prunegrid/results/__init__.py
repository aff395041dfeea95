"""Results of the cells that exist, collected, with their costs and what they can be compared with."""
