"""Optional scores that take a forward pass of the model, or of its reference."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.models import describe, load_model, load_tokenizer
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.models.probes import attention_scores_unavailable
from prunegrid.pruners import Needs
from prunegrid.scoring.attention import paid_by_last_token
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.extra_files import source_digests
from prunegrid.scoring.extra_inputs import ExtraInputs
from prunegrid.scoring.extra_streams import column_means
from prunegrid.scoring.forward import Compute, compute_in_batches, hidden_states
from prunegrid.scoring.nll import NllScorer
from prunegrid.scoring.sequence_scores import answer_means, layer_scores, sequence_head
from prunegrid.scoring.writer import sample_means


def fastv_layer2(inputs: ExtraInputs) -> NDArray[np.floating]:
    """FastV as published (Chen et al., ECCV 2024): attention in the second layer that the last token of the
    sequence pays to each response token, heads averaged. Only the first two layers are run.
    """
    model = load_model(inputs.model_dir, inputs.settings.dtype, inputs.device)
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is not None:
        if len(layers) < 2:
            problem = f"has {len(layers)} layer, but fastv_layer2 reads the second"
            raise PrunegridError(inputs.model_dir, problem, "leave fastv_layer2 out")
        decoder.layers = layers[:2]
    if reason := attention_scores_unavailable(model, 1):
        raise PrunegridError(inputs.model_dir, f"fastv_layer2 cannot be computed: {reason}", "leave it out")

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        hidden_states(model, batch)
        return (paid_by_last_token(capture.take(), batch),)

    with AttentionCapture(model, 1) as capture:
        sequences, batch_tokens = inputs.sequences, inputs.settings.batch_tokens
        values, _ = compute_in_batches(sequences, batch_tokens, model.device, ("fastv",), compute, "fastv_layer2")
    return values["fastv"]


def ifd(inputs: ExtraInputs) -> NDArray[np.floating]:
    """Instruction-following difficulty (Li et al., "From Quantity to Quality", NAACL 2024): PPL(y|x) / PPL(y).

    Perplexities are exp of the mean NLL over the response, as in the authors' Superfiltering (ACL 2024); the
    first paper divides the mean NLLs themselves. PPL(y|x) is that of the scores. Departure: for PPL(y) the
    response follows a single token, so that its first token has a prediction, too: the tokenizer's beginning of
    sequence, or its end of sequence if there is none (lm-eval's prefix token).
    """
    nll_N = sample_means(inputs.nll_alone, inputs.sequences)
    scores = inputs.scores.read_samples(Needs(samples={"nll": "ifd"}, tokens={}))
    ratio_N: NDArray[np.float64] = np.exp(scores.samples["nll"] - nll_N)
    return ratio_N


def reference_nll(inputs: ExtraInputs) -> NDArray[np.floating]:
    """NLL of the response tokens, in nats, under a reference model (Rho-1, Lin et al., NeurIPS 2024)."""
    assert inputs.reference_dir, "write_extra refuses a reference score without a reference"
    if load_tokenizer(inputs.model_dir).get_vocab() != load_tokenizer(inputs.reference_dir).get_vocab():
        problem = f"its vocabulary differs from that of {inputs.model_dir}: the same ids mean different text"
        raise PrunegridError(inputs.reference_dir, problem, "choose a reference model of the same family")
    scorer = NllScorer(load_model(inputs.reference_dir, inputs.settings.dtype, inputs.device))
    return scorer(inputs.sequences, inputs.settings.batch_tokens, "reference_nll")[0]["nll"]


def reference_loss(inputs: ExtraInputs) -> NDArray[np.floating]:
    """Mean NLL of the response, in nats, under a reference model: of `reference_nll` where that is there already."""
    assert inputs.reference_dir, "write_extra refuses a reference score without a reference"
    file, digest = inputs.scores.extra_file("reference_nll"), describe(inputs.reference_dir)["digests"]["model"]
    if file.exists() and source_digests(file).get("reference") == digest:
        return column_means(inputs.scores, "reference_nll")
    return sample_means(reference_nll(inputs), inputs.sequences)


def sequence_entropy(inputs: ExtraInputs) -> NDArray[np.float32]:
    """Predictive entropy in nats, mean over all positions of prompt and response but the first.

    As the authors' working copy of September 2025 averages it; the paper averages over the response.
    """
    model = inputs.load()
    head = Head(model)

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        return sequence_head(head, hidden_states(model, batch), batch)[2:]

    value_T = _run(inputs, model, compute, "sequence_entropy")
    return value_T[inputs.sequences.response_offsets[:-1]]  # each of a sample's tokens has the sample's value


def hidden_mean(inputs: ExtraInputs) -> NDArray[np.float16]:
    """float16[N, D]: mean over the response's tokens of the decoder's last hidden states."""
    model = inputs.load()
    width = model.get_output_embeddings().weight.shape[1]
    values_ND = np.empty((len(inputs.sequences), width), np.float16)

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        return (answer_means(hidden_states(model, batch), batch),)

    tokens = inputs.settings.batch_tokens
    compute_in_batches(inputs.sequences, tokens, model.device, (), compute, "hidden_mean", {"hidden_mean": values_ND})
    return values_ND


def layer_score(inputs: ExtraInputs, name: str) -> NDArray[np.float32]:
    """A score of `LAYER_SCORES`, from the last layer's attention."""
    model = inputs.load()
    if reason := attention_scores_unavailable(model):
        raise PrunegridError(inputs.model_dir, f"{name} cannot be computed: {reason}", "leave it out")
    special_S = torch.tensor(inputs.special_ids, device=model.device)

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        hidden_BTD = hidden_states(model, batch)
        return layer_scores((name,), capture.take(), batch, hidden_BTD, special_S)

    with AttentionCapture(model) as capture:
        return _run(inputs, model, compute, name)


def _run(inputs: ExtraInputs, model: Any, compute: Compute, name: str) -> NDArray[np.float32]:
    """The one score that `compute` gives, for every response token."""
    tokens = inputs.settings.batch_tokens
    values, _ = compute_in_batches(inputs.sequences, tokens, model.device, (name,), compute, name)
    return values[name]
