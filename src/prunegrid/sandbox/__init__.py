"""The default experiment's offline toy world, in which the worth of every sample is known.

It imports no module of its own: the Snakefile reads `data_sets`, and each job parses the Snakefile.
"""
