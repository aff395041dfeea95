"""Optional scores, each a file of its own beside the scores: `scores/<model>/extra/<name>.parquet`.

The rule `extra_score` makes one when a variant needs it. Token ids come from `tokens.parquet`: nothing is
tokenised again, and the rows have its order.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prunegrid.experiment.sections import Scoring
    from prunegrid.scoring.sequences import Sequences
from prunegrid.pruners.columns import EXTRAS


def write_extra(
    name: str,
    scores_dir: Path,
    model_dir: Path,
    out_file: Path,
    settings: "Scoring",
    device: str = "cpu",
    reference_dir: Path | None = None,
) -> None:
    """Write `sample_id` and the column `name`: float32 a sample, or a list of float32, one a response token.

    `reference_dir` is the folder of the model that `reference_nll` asks; the others ask the scores' own.
    """
    import pyarrow as pa

    from prunegrid.core.files import write_parquet
    from prunegrid.models import describe
    from prunegrid.scoring.reader import DIGESTS, ScoresFolder
    from prunegrid.scoring.writer import list_column

    if name not in EXTRAS:
        raise PrunegridError(f"{name!r} is not an extra score; choose one of {', '.join(EXTRAS)}")
    if (name == "reference_nll") != (reference_dir is not None):
        raise PrunegridError("reference_nll needs the folder of a reference model, and no other score takes one")
    folder = ScoresFolder(scores_dir)
    folder.check_digests(describe(model_dir)["digests"])
    rows = ScoresFolder(scores_dir).sequences()
    values: NDArray[np.floating[Any]]
    if name == "fastv_layer2":
        values = fastv_layer2(rows, model_dir, settings, device)
    elif name == "ifd":
        values = ifd(rows, scores_dir, model_dir, settings, device)
    else:
        assert reference_dir
        values = reference_nll(rows, model_dir, reference_dir, settings, device)
    column = list_column(rows, values, 0, len(rows)) if EXTRAS[name] == "token" else pa.array(values, pa.float32())
    table = pa.table({"sample_id": pa.array(rows.sample_id_N, pa.int64()), name: column})
    digests = folder.digests
    if reference_dir:
        digests = digests | {"reference": describe(reference_dir)["digests"]["model"]}
    write_parquet(out_file, table.replace_schema_metadata({DIGESTS: json.dumps(digests)}), row_group_size=4096)


def fastv_layer2(rows: "Sequences", model_dir: Path, settings: "Scoring", device: str) -> "NDArray[np.float32]":
    """FastV as published (Chen et al., ECCV 2024): attention in the second layer that the last token of the
    sequence pays to each response token, heads averaged. Only the first two layers are run.
    """
    from prunegrid.models import load_model
    from prunegrid.models.attention_capture import AttentionCapture
    from prunegrid.models.probes import attention_scores_unavailable
    from prunegrid.scoring.attention import from_last
    from prunegrid.scoring.forward import compute_in_batches, hidden_states

    model = load_model(model_dir, settings.dtype, device)
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is not None and len(layers) < 2:
        raise PrunegridError(f"{model_dir}: has {len(layers)} layer, but fastv_layer2 reads the second; leave it out")
    if layers is not None:
        decoder.layers = layers[:2]
    reason = attention_scores_unavailable(model, 1)
    if reason:
        raise PrunegridError(f"{model_dir}: fastv_layer2 cannot be computed: {reason}; leave it out")

    def compute(batch: Any) -> Any:
        hidden_states(model, batch)
        return (from_last(capture.take(), batch),)

    with AttentionCapture(model, 1) as capture:
        values, _ = compute_in_batches(rows, settings.batch_tokens, model.device, ("fastv",), compute, "fastv_layer2")
    return values["fastv"]


def ifd(
    rows: "Sequences", scores_dir: Path, model_dir: Path, settings: "Scoring", device: str
) -> "NDArray[np.float64]":
    """Instruction-following difficulty (Li et al., "From Quantity to Quality", NAACL 2024): PPL(y|x) / PPL(y).

    Perplexities are exp of the mean NLL over the response, as in the authors' Superfiltering (ACL 2024); the
    first paper divides the mean NLLs themselves. PPL(y|x) is that of the scores. Departure: for PPL(y) the
    response stands alone after one token, so that its first token has a prediction, too: the tokenizer's
    beginning of sequence, or its end of sequence where there is none (lm-eval's prefix token).
    """
    import numpy as np

    from prunegrid.core.files import read_parquet
    from prunegrid.models import load_tokenizer
    from prunegrid.scoring.writer import sample_means

    table = read_parquet(scores_dir / layout.SAMPLES, ["sample_id", "nll"])
    if not np.array_equal(table["sample_id"].to_numpy(), rows.sample_id_N):
        raise PrunegridError(f"{scores_dir}: samples.parquet and tokens.parquet hold other samples; score again")
    tokenizer = load_tokenizer(model_dir)
    prefix = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    alone = rows.with_prompt(prefix)
    nll_N = sample_means(nll(alone, model_dir, settings, device, "ifd"), alone)
    ratio_N: NDArray[np.float64] = np.exp(table["nll"].to_numpy().astype(np.float64) - nll_N)
    return ratio_N


def reference_nll(
    rows: "Sequences", model_dir: Path, reference_dir: Path, settings: "Scoring", device: str
) -> "NDArray[np.float32]":
    """NLL of the response tokens, in nats, under a reference model (Rho-1, Lin et al., NeurIPS 2024)."""
    from prunegrid.models import load_tokenizer

    if load_tokenizer(model_dir).get_vocab() != load_tokenizer(reference_dir).get_vocab():
        raise PrunegridError(
            f"{reference_dir}: its tokenizer has another vocabulary than that of {model_dir}, so the same token ids "
            "mean other text; choose a reference model of the same family"
        )
    return nll(rows, reference_dir, settings, device, "reference_nll")


def nll(rows: "Sequences", model_dir: Path, settings: "Scoring", device: str, title: str) -> "NDArray[np.float32]":
    """NLL of every response token, in nats, under the model in `model_dir`."""
    from prunegrid.models import load_model
    from prunegrid.models.head import Head
    from prunegrid.scoring.forward import compute_in_batches, hidden_states, predicting_states

    model = load_model(model_dir, settings.dtype, device)
    head = Head(model)

    def compute(batch: Any) -> Any:
        return head(predicting_states(hidden_states(model, batch), batch), batch.targets_R)[:1]

    values, _ = compute_in_batches(rows, settings.batch_tokens, model.device, ("nll",), compute, title)
    return values["nll"]
