"""The columns of scores. A new one is declared here, and computed in `scoring.score` or `scoring.extra`."""

# One value for each response token, from the language model's head and from the last layer's attention.
HEAD_SCORES = ("nll", "entropy")
ATTENTION_SCORES = ("fastv", "sparsevlm")
# All that the scoring pass writes, for each sample or for each response token.
PASS_COLUMNS = ("prompt_tokens", "response_tokens", "truncated", "ppl", *HEAD_SCORES, *ATTENTION_SCORES)
# Optional scores, each computed only for the pruners that read it: what it has a value for.
EXTRAS = {"fastv_layer2": "token", "ifd": "sample", "reference_nll": "token"}
REFERENCE_EXTRAS = frozenset({"reference_nll"})  # computed under the model's reference instead of the model
