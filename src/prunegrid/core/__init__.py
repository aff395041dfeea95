"""Foundations of every room: errors, files, locks, GPUs, ragged arrays, randomness, words. They import no other room.

Shape suffixes, in every room: `nll_T` is one value a token, `query_BHTD` an array of four dimensions.

    N  samples of a data set              B  sequences of a batch        I  items of a benchmark
    T  tokens: of a (padded) sequence,    R  response tokens of a batch  U  clusters of items
       or of all responses one after      C  positions of a chunk        S  seeds
       another                            Q  queries that rate others    E  cells
    V  entries of the vocabulary          H  query heads                 J  bootstrap resamples
    D  features of a hidden state or      G  key-value heads             M  base models
       of a head                          L  layers                      W  rows of a table
    K  kinds of values (score columns)     X  queries of all heads of a group
    P  distinct predictions of a batch     Z  points of a figure
    Y  windows of samples
"""
