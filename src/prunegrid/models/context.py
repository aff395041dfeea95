"""How many tokens a model knows, and how many it can read at once."""

from pathlib import Path
from typing import NamedTuple

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.models.folder import config_file
from prunegrid.models.meta_model import meta_model
from prunegrid.models.remote_code import may_run_code


class Context(NamedTuple):
    """`vocabulary`: rows of the embeddings. `positions`: tokens of the longest text that the model was made for.

    Either is None where the model's configuration does not say.
    """

    vocabulary: int | None
    positions: int | None


def context(folder: Path) -> Context:
    """What the configuration of the model in `folder` says."""
    from transformers import AutoConfig

    file = config_file(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=may_run_code(folder)).get_text_config()
    except Exception as error:  # of whatever kind the architecture's own checks raise
        fix = "give the folder of a model saved with save_pretrained"
        raise PrunegridError(file, f"is not a model configuration ({first_line(error)})", fix) from error
    return Context(getattr(config, "vocab_size", None), getattr(config, "max_position_embeddings", None))


def learns_positions(folder: Path) -> bool:
    """Whether each position has an embedding of its own, so that a further one has none."""
    import torch

    model = meta_model(folder)
    tokens = model.get_input_embeddings()
    return any(
        isinstance(module, torch.nn.Embedding) and module is not tokens and ("pos" in name or name.endswith("wpe"))
        for name, module in model.named_modules()
    )
