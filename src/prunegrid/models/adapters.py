"""LoRA adapters: added to a model to be trained, or merged into its weights. peft takes a second to import, so it is
imported where it is used.

An adapter must own the weights that it changes. One that is put on the embeddings of a model whose head shares them
changes the embeddings alone while it is trained, but both once it is merged (peft only warns).
"""

import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.experiment.training import Lora
from prunegrid.models.folder import check_complete

KEY = "training.lora.target_modules"


def add_adapter(model: Any, lora: Lora) -> Any:
    """The model with a new adapter, which changes nothing yet; refused if its target modules cannot have one."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    owners = _owners(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
        try:
            adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora.model_dump()))
        except ValueError as error:
            problem = f"is {lora.target_modules!r}, which peft refuses ({first_line(error)})"
            raise PrunegridError(KEY, problem, "name modules of the model, or all-linear") from error
    fix = "leave it out; all-linear is every linear layer but the head"
    if shared := _shared(adapted, owners):
        raise PrunegridError(KEY, f"is {lora.target_modules!r}: it updates {shared}", fix)
    if isinstance(adapted.get_output_embeddings(), BaseTunerLayer):
        raise PrunegridError(KEY, f"is {lora.target_modules!r}: it updates the head, which the loss ignores", fix)
    return adapted


def apply_adapter(model: Any, folder: Path) -> Any:
    """The model with the adapter in `folder` added to its weights.

    An adapter that does not fit is an error: peft only warns, and the scores would be the base model's.
    """
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").exists():
        raise PrunegridError(folder, "no adapter_model.safetensors (pickles are not read)", "train the cell again")
    check_complete(folder)
    owners = _owners(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys")
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
        try:
            adapted = PeftModel.from_pretrained(model, str(folder))
        except (UserWarning, ValueError, RuntimeError, OSError) as error:
            problem = f"not an adapter of this model ({str(error)[:200]})"
            raise PrunegridError(folder, problem, "train the cell again") from None
    if shared := _shared(adapted, owners):
        problem = f"has an update of {shared}: merged, it would differ from the trained model"
        raise PrunegridError(folder, problem, "train an adapter without it")
    return adapted.merge_and_unload()


def _owners(model: Any) -> dict[int, list[str]]:
    """The modules that have each parameter, by the parameter's id."""
    owners = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners[id(parameter)].append(name.rpartition(".")[0])
    return owners


def _shared(adapted: Any, owners: dict[int, list[str]]) -> str:
    """The adapted modules whose weights others have, too, in words; empty if there are none."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module.get_base_layer() for module in adapted.modules() if isinstance(module, BaseTunerLayer)]
    names = {tuple(owners[id(weight)]) for layer in layers for weight in layer.parameters()}
    return ", ".join(f"a weight that {' and '.join(several)} share" for several in sorted(names) if len(several) > 1)
