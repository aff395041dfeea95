"""The optional score `query_rank`: the place at which queries take each sample (RDS+: Ivison et al., arXiv 2503.01807).

A sample's vector is the mean of the last hidden states over prompt and response, where the p-th token weighs p; queries
are rendered, cut off and read in the same way. Departure: their code averages over padding, too.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.models import prepare_tokenizer
from prunegrid.pruners.vectors import Units, units
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.data_shard import tokenise_shard
from prunegrid.scoring.extra_inputs import ExtraInputs
from prunegrid.scoring.forward import compute_in_batches, hidden_states
from prunegrid.scoring.render import Renderer
from prunegrid.scoring.sequence_scores import position_weighted_means
from prunegrid.scoring.sequences import Sequences


def query_rank(inputs: ExtraInputs) -> NDArray[np.floating]:
    """The place [N] of each sample, from 0, in the order in which the queries take them."""
    assert inputs.query, "write_extra refuses a score of a query set without one"
    renderer = Renderer(prepare_tokenizer(inputs.tokenizer_dir))
    queries, _ = tokenise_shard(
        inputs.query, renderer, inputs.scores.meta.get("max_length", inputs.settings.max_length)
    )
    if not len(queries):
        raise PrunegridError(inputs.query, "has no answer within the cut-off", "give another query set")
    model = inputs.load()
    tokens = inputs.settings.batch_tokens
    query_QD, sample_ND = (_vectors(model, rows, tokens) for rows in (queries, inputs.sequences))
    return taken_places(units(query_QD), sample_ND)


def _vectors(model: Any, sequences: Sequences, batch_tokens: int) -> NDArray[np.float16]:
    vectors_ND = np.empty((len(sequences), model.get_output_embeddings().weight.shape[1]), np.float16)

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        return (position_weighted_means(hidden_states(model, batch), batch),)

    vectors = {"query_rank": vectors_ND}
    compute_in_batches(sequences, batch_tokens, model.device, (), compute, "query_rank", vectors)
    return vectors_ND


def taken_places(query_QD: Units, sample_ND: NDArray[np.float16]) -> NDArray[np.float64]:
    """The place [N] of each sample in the order that turns give: all queries' first choices, their second ones, ...

    A choice that an earlier turn made is lost, so a sample's turn is the first of those in which a query would take it:
    its rank among the query's choices, ties by the query. Equal cosines: the earlier sample.
    """
    n = len(sample_ND)
    turn_N, cosines = np.full(n, np.iinfo(np.int64).max), np.empty(n, np.float32)
    rank_N = np.empty(n, np.int64)
    for query, query_D in enumerate(query_QD):
        for start in range(0, n, PART):
            cosines[start : start + PART] = units(sample_ND, slice(start, start + PART)) @ query_D
        rank_N[np.argsort(-cosines, kind="stable")] = np.arange(n)
        np.minimum(turn_N, rank_N * len(query_QD) + query, out=turn_N)
    places = np.empty(n)
    places[np.argsort(turn_N)] = np.arange(n)
    return places


PART = 2**16  # samples whose vectors are in float32 at a time
