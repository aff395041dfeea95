"""Optional scores, each in a file of its own beside the scores: `extra/<name>.parquet`.

The rule `extra_score` makes one if a variant reads it, from the token ids of the scores, in the order of their rows.
A new one needs a function in `COMPUTE` and an entry in `prunegrid.pruners.columns`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import write_parquet
from prunegrid.experiment.training import Scoring
from prunegrid.models import describe, load_model, load_tokenizer
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.models.probes import attention_scores_unavailable
from prunegrid.pruners import Needs
from prunegrid.pruners.columns import EXTRAS, REFERENCE_EXTRAS
from prunegrid.scoring.attention import paid_by_last_token
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.forward import compute_in_batches, hidden_states, predicting_states
from prunegrid.scoring.reader import DIGESTS, ScoresFolder
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.writer import list_column, sample_means


@dataclass(frozen=True)
class ExtraInputs:
    """What optional scores are computed from; `reference_dir` is set for those in `REFERENCE_EXTRAS` alone."""

    scores: ScoresFolder
    sequences: Sequences
    model_dir: Path
    reference_dir: Path | None
    settings: Scoring
    device: str


def write_extra(
    name: str,
    scores_dir: Path,
    model_dir: Path,
    out_file: Path,
    settings: Scoring,
    device: str = "cpu",
    reference_dir: Path | None = None,
) -> None:
    """Write `sample_id` and the column `name`: one float32 per sample, or a list of one float32 per response token."""
    if name not in COMPUTE:
        raise PrunegridError(name, "is not an optional score", f"choose one of {', '.join(COMPUTE)}")
    if name in REFERENCE_EXTRAS and reference_dir is None:
        raise PrunegridError(name, "needs a reference model", "give its folder (--reference DIR)")
    if name not in REFERENCE_EXTRAS and reference_dir is not None:
        raise PrunegridError(name, f"reads no reference model, but {reference_dir} is given", "leave --reference out")
    scores = ScoresFolder(scores_dir)
    scores.check_digests(describe(model_dir)["digests"])
    digests = scores.digests
    if reference_dir:
        digests = digests | {"reference": describe(reference_dir)["digests"]["model"]}
    sequences = scores.sequences()
    values = COMPUTE[name](ExtraInputs(scores, sequences, model_dir, reference_dir, settings, device))
    by_token = EXTRAS[name] == "token"
    column = list_column(sequences, values, 0, len(sequences)) if by_token else pa.array(values, pa.float32())
    table = pa.table({"sample_id": pa.array(sequences.sample_id_N, pa.int64()), name: column})
    write_parquet(out_file, table.replace_schema_metadata({DIGESTS: json.dumps(digests)}), row_group_size=4096)


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
    tokenizer = load_tokenizer(inputs.model_dir)
    prefix = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    unprompted = inputs.sequences.with_prompt(prefix)
    nll_N = sample_means(token_nll(inputs, unprompted, inputs.model_dir, "ifd"), unprompted)
    scores = inputs.scores.read_samples(Needs(samples={"nll": "ifd"}, tokens={}))
    ratio_N: NDArray[np.float64] = np.exp(scores.samples["nll"] - nll_N)
    return ratio_N


def reference_nll(inputs: ExtraInputs) -> NDArray[np.floating]:
    """NLL of the response tokens, in nats, under a reference model (Rho-1, Lin et al., NeurIPS 2024)."""
    assert inputs.reference_dir, "write_extra refuses a reference score without a reference"
    if load_tokenizer(inputs.model_dir).get_vocab() != load_tokenizer(inputs.reference_dir).get_vocab():
        problem = (
            f"its tokenizer has another vocabulary than that of {inputs.model_dir}: the same ids mean different text"
        )
        raise PrunegridError(inputs.reference_dir, problem, "choose a reference model of the same family")
    return token_nll(inputs, inputs.sequences, inputs.reference_dir, "reference_nll")


def token_nll(inputs: ExtraInputs, sequences: Sequences, model_dir: Path, title: str) -> NDArray[np.float32]:
    """NLL of every response token, in nats, under the model in `model_dir`."""
    model = load_model(model_dir, inputs.settings.dtype, inputs.device)
    head = Head(model)

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        return head(predicting_states(hidden_states(model, batch), batch), batch.targets_R)[:1]

    values, _ = compute_in_batches(sequences, inputs.settings.batch_tokens, model.device, ("nll",), compute, title)
    return values["nll"]


COMPUTE: dict[str, Callable[[ExtraInputs], NDArray[np.floating]]] = {
    "fastv_layer2": fastv_layer2,
    "ifd": ifd,
    "reference_nll": reference_nll,
}
