"""The columns of scores. A new one is declared here, and computed in `scoring.score` or `scoring.extra`."""

# One value for each response token, from the language model's head and from the last layer's attention.
HEAD_SCORES = ("nll", "entropy")
ATTENTION_SCORES = ("fastv", "sparsevlm")
# All that the scoring pass writes, for each sample or for each response token.
PASS_COLUMNS = ("prompt_tokens", "response_tokens", "truncated", "ppl", *HEAD_SCORES, *ATTENTION_SCORES)
# Optional scores, each computed only for the pruners that read it: what it has a value for. A vector is of a sample: a
# pruner names it among its `samples` and reads an array [n, D], which is in a file that is mapped into memory.
EXTRAS = {
    "duplicate_rank": "sample",
    "fastv_layer2": "token",
    "fastv_rank": "token",
    "hidden_mean": "vector",
    "ifd": "sample",
    "instruction_characters": "sample",
    "instruction_entropy": "sample",
    "prompt_candidates": "sample",
    "reference_nll": "token",
    "sequence_entropy": "sample",
    "sparsevlm_kept": "token",
}
VECTOR_EXTRAS = frozenset(name for name, kind in EXTRAS.items() if kind == "vector")
REFERENCE_EXTRAS = frozenset({"reference_nll"})  # computed under the model's reference instead of the model
DATA_EXTRAS = frozenset({"duplicate_rank", "instruction_characters", "instruction_entropy"})  # read the messages
TEXT_EXTRAS = (*sorted(DATA_EXTRAS), "prompt_candidates")  # of texts and ids: no model runs
LAYER_EXTRAS = ("fastv_rank", "sparsevlm_kept")  # of the last layer's attention over the whole sequence
# What dynamic mode has: scores that it computes with the weights of the moment, and scores that are the same for all
# weights, which it reads from the scores' files.
MOMENT_EXTRAS = ("sequence_entropy", *LAYER_EXTRAS)
FIXED_EXTRAS = (*TEXT_EXTRAS, *sorted(REFERENCE_EXTRAS))
EPOCH_LOSS = "epoch_loss"  # of samples at their last visit: a training with prune_samples: epoch alone has it
