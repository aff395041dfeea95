"""The columns of scores. A new one is declared here, and computed in `scoring.score` or `scoring.extra`."""

from collections.abc import Collection

# One value for each response token, from the language model's head and from the last layer's attention.
HEAD_SCORES = ("nll", "entropy")
ATTENTION_SCORES = ("fastv", "sparsevlm")
# All that the scoring pass writes, for each sample or for each response token.
PASS_COLUMNS = ("prompt_tokens", "response_tokens", "truncated", "ppl", *HEAD_SCORES, *ATTENTION_SCORES)
# Optional scores, each computed only for the pruners that read it: what it has a value for. A vector is of a sample: a
# pruner names it among its `samples` and reads an array [n, D], which is in a file that is mapped into memory.
EXTRAS = {
    "compression_ratio": "sample",
    "duplicate_rank": "sample",
    "fastv_layer2": "token",
    "fastv_rank": "token",
    "hidden_mean": "vector",
    "ifd": "sample",
    "instruction_characters": "sample",
    "instruction_entropy": "sample",
    "mean_error": "sample",
    "nll_alone": "token",
    "prompt_attention": "token",
    "prompt_candidates": "sample",
    "query_rank": "sample",
    "reference_loss": "sample",
    "reference_nll": "token",
    "s_ifd": "sample",
    "sequence_entropy": "sample",
    "sparsevlm_kept": "token",
    "token_frequency": "token",
    "upd": "sample",
}
VECTOR_EXTRAS = frozenset(name for name, kind in EXTRAS.items() if kind == "vector")
# Computed under the model's reference instead of the model.
REFERENCE_EXTRAS = frozenset({"reference_loss", "reference_nll"})
QUERY_EXTRAS = frozenset({"query_rank"})  # read a query set, and run the model over it, too
DATA_EXTRAS = frozenset(  # read the messages
    {"compression_ratio", "duplicate_rank", "instruction_characters", "instruction_entropy"}
)
TEXT_EXTRAS = (*sorted(DATA_EXTRAS), "prompt_candidates", "token_frequency")  # of texts and ids: no model runs
LAYER_EXTRAS = ("fastv_rank", "prompt_attention", "sparsevlm_kept")  # of the last layer's attention
DERIVED_EXTRAS = {
    "reference_loss": "reference_nll",
    "s_ifd": "nll_alone",
}  # of the scores and another optional score: no model runs
# Means over the response of a function of these columns of its tokens (`scoring.token_means`): no model runs.
MEAN_EXTRAS = {"mean_error": ("nll",), "upd": ("nll", "entropy")}
# What the scoring pass can compute in its own forward, in a second one over the responses alone, and in all.
FORWARD_EXTRAS = ("fastv_layer2", "hidden_mean", *LAYER_EXTRAS, "sequence_entropy")
ALONE_EXTRAS = ("ifd", "nll_alone")
PASS_EXTRAS = (*FORWARD_EXTRAS, *ALONE_EXTRAS, "reference_nll", *sorted(DATA_EXTRAS), "prompt_candidates")
# What dynamic mode has: scores that it computes with the weights of the moment, and scores that are the same for all
# weights, which it reads from the scores' files.
MOMENT_EXTRAS = ("sequence_entropy", *LAYER_EXTRAS, *MEAN_EXTRAS)
FIXED_EXTRAS = (*TEXT_EXTRAS, "nll_alone", *sorted(REFERENCE_EXTRAS))
BASE_NLL = "base_nll"  # of tokens in training: their NLL under the base model, which `nll` is in static mode
EPOCH_LOSS = "epoch_loss"  # of samples at their last visit: a training with prune_samples: epoch alone has it


def complete_extras(names: Collection[str]) -> list[str]:
    """The optional scores `names`, and those that some of them are derived from."""
    return sorted({*names} | {DERIVED_EXTRAS[name] for name in names if name in DERIVED_EXTRAS})
