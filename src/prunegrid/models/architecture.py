"""What model families differ in: names of configuration keys and attention arguments, shapes, what is supported.

A new family is described here and nowhere else. Nothing here imports torch: `plan`, which must start fast, reads shapes
from here. `meta_model` finds out what an architecture does, without weights, and `probes` does so on a loaded model.
"""

import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

from prunegrid.core.errors import PrunegridError

# Arguments of an attention layer that change its weights in ways that neither scoring nor packing computes.
UNSUPPORTED_ATTENTION = ("softcap", "s_aux", "position_bias")
# Configuration keys that bound how far attention reaches, and those that change logits after the head.
WINDOW_KEYS = ("sliding_window", "attention_chunk_size", "window_size")
LOGIT_KEYS = ("final_logit_softcapping", "logits_soft_cap", "logits_scaling", "logit_scale")
# What GPT-2, Bloom, GPT-J, MPT and OPT call what a Llama calls by the first name.
KEY_ALIASES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "intermediate_size": ("n_inner", "ffn_dim"),
}
MASKED = ("eager", "sdpa")  # attention implementations that add the mask they are given
PACKED = "prunegrid_packed"
UNPACK = "set training.packing: false"
OTHER_MODEL = "choose another model"
ASSUMED_VOCABULARY = 32_000


@dataclass(frozen=True)
class Shape:
    """A decoder's widths: hidden, feed-forward, keys (and values), and its numbers of layers and vocabulary entries.

    The parameter counts are those of a Llama of these widths. They are estimates: counting them exactly would need the
    modules, and so torch. The parameters of a model whose weights are stored are counted in `size`.
    """

    hidden: int
    intermediate: int
    keys: int
    layers: int
    vocabulary: int
    tied: bool

    @property
    def decoder(self) -> int:
        """Parameters outside embeddings and head: what a token is multiplied with in the layers."""
        attention = 2 * self.hidden * (self.hidden + self.keys)
        norms = 2 * self.hidden
        return self.layers * (attention + 3 * self.hidden * self.intermediate + norms) + self.hidden

    @property
    def head(self) -> int:
        return self.hidden * self.vocabulary

    @property
    def count(self) -> int:
        return self.decoder + self.head * (1 if self.tied else 2)


def usual_shape(count: int) -> Shape:
    """A Llama of about `count` parameters: L layers, 128 L wide, 8/3 as wide in between, so 12 L (128 L)^2."""
    layers = max(1, round((count / (12 * 128**2)) ** (1 / 3)))
    hidden = 128 * layers
    return Shape(hidden, round(8 / 3 * hidden), hidden, layers, ASSUMED_VOCABULARY, False)


def config_shape(config: dict[str, Any], count: int) -> Shape:
    """The shape in a config.json; widths that it does not state are those of a usual model of `count` parameters."""
    usual, settings = usual_shape(count), config.get("text_config", config)
    for name, aliases in KEY_ALIASES.items():
        if value := next((settings[alias] for alias in aliases if settings.get(alias)), None):
            settings = {name: value} | settings
    hidden = settings.get("hidden_size", usual.hidden)
    heads = settings.get("num_attention_heads", 1)
    width = settings.get("head_dim") or hidden // heads
    return Shape(
        hidden,
        settings.get("intermediate_size", round(hidden * usual.intermediate / usual.hidden)),
        (settings.get("num_key_value_heads") or heads) * width,
        settings.get("num_hidden_layers", usual.layers),
        settings.get("vocab_size", usual.vocabulary),
        bool(settings.get("tie_word_embeddings", False)),
    )


class TrainingAttention(NamedTuple):
    """The attention implementation that a model is trained with; `padded_because` is None if samples are packed."""

    implementation: str
    padded_because: str | None = None

    @property
    def packed(self) -> bool:
        return self.padded_because is None

    def as_json(self) -> dict[str, Any]:
        return {"implementation": self.implementation, "packed": self.packed, "reason": self.padded_because}


def scoring_error(model: Any) -> PrunegridError | None:
    """Why the scoring pass would refuse this architecture, judged by its configuration alone."""
    if headless_decoder(model) is None:
        return decoder_has_head(model)
    config = model.config.get_text_config()
    for name in LOGIT_KEYS:
        if (value := getattr(config, name, None)) not in (None, 1):
            return logits_changed(model, f" ({name} {value})")
    return None


def decoder_has_head(model: Any) -> PrunegridError:
    problem = "get_decoder() is the model with its head; the scoring pass needs it without"
    return PrunegridError(model.config.model_type, problem, OTHER_MODEL)


def logits_changed(model: Any, detail: str = "") -> PrunegridError:
    problem = f"changes its logits after the head{detail}, which the scoring pass does not"
    return PrunegridError(model.config.model_type, problem, OTHER_MODEL)


def check_positions(model: Any) -> None:
    """Refuse an architecture that does not read position ids: pruned tokens could not leave a gap behind."""
    config, parameters = model.config.get_text_config(), inspect.signature(model.get_decoder().forward).parameters
    if "position_ids" not in parameters or getattr(config, "alibi", False):
        raise positions_ignored(model)


def positions_ignored(model: Any) -> PrunegridError:
    """The error of `removal: drop` with a model that does not read position ids."""
    problem = "does not read position ids, so with removal: drop the tokens after a pruned one would move up"
    fix = "set removal: mask (training.removal, and in variants that have their own)"
    return PrunegridError(model.config.model_type, problem, fix)


def headless_decoder(model: Any) -> Any | None:
    """The model without its head; None if `get_decoder()` includes the head (Llama 4's language model)."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    return None if any(module is head for module in decoder.modules()) else decoder


def accepts_tree_masks(model: Any, config: Any) -> bool:
    """Whether the model adds a mask of any form, and takes positions that the mask does not imply."""
    decoder = headless_decoder(model)
    reads_positions = decoder is not None and "position_ids" in inspect.signature(decoder.forward).parameters
    return reads_positions and config._attn_implementation in MASKED and not getattr(config, "alibi", False)


def smallest_window(config: Any) -> int | None:
    """The fewest tokens that a window or chunk of attention spans by the configuration; None without one."""
    windows = [getattr(config, name, None) for name in WINDOW_KEYS]
    return min((window for window in windows if isinstance(window, int) and window > 0), default=None)
