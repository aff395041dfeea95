"""How many tokens a model knows, and how many it can read at once."""

from dataclasses import dataclass
from pathlib import Path

from prunegrid.models.meta_model import meta_model


@dataclass(frozen=True)
class Context:
    """`vocabulary`: rows of the embeddings. `positions`: tokens of a text that the model was made for, if it says so.

    `learned`: each position has an embedding of its own, so a further one has none; else the model computes them.
    """

    vocabulary: int
    positions: int | None
    learned: bool


def context(folder: Path) -> Context:
    """What the model in `folder` can read; no weights are read."""
    import torch

    model = meta_model(folder)
    tokens = model.get_input_embeddings()
    tables = [
        module.num_embeddings
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding) and module is not tokens and ("pos" in name or name.endswith("wpe"))
    ]
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return Context(len(tokens.weight), min([*tables, positions]) if tables and positions else positions, bool(tables))
