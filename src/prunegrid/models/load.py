"""Load tokenizers, models and adapters from folders. torch and transformers are imported where they are used: every
step imports this module, and most load nothing.
"""

from pathlib import Path
from typing import Any

from prunegrid.core.disk_errors import disk_error
from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import repair, replacing
from prunegrid.models.adapters import apply_adapter
from prunegrid.models.folder import check_complete, config_file, is_adapter
from prunegrid.models.remote_code import may_run_code


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    config_file(folder)
    check_complete(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=may_run_code(folder))
    except Exception as error:  # tokenizers raises Exception itself
        if isinstance(error, PrunegridError) or disk_error(error, folder):
            raise
        raise PrunegridError(folder, f"cannot load the tokenizer ({first_line(error)})", repair(folder)) from error


def load_model(folder: Path, dtype: str, device: str) -> Any:
    """The causal language model in `folder`, in evaluation mode; damaged weights are a `PrunegridError`."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    check_device(device)
    check_complete(folder)
    # A device map makes transformers read the weights straight into a GPU's memory, not into the host's first.
    options = {} if device == "cpu" else {"device_map": {"": device}}
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=may_run_code(folder),
            **options,
        )
    except (OSError, SafetensorError) as error:
        if disk_error(error, folder):  # of the log, which is written meanwhile
            raise
        raise PrunegridError(folder, f"cannot load the model ({first_line(error)})", repair(folder)) from None
    except ValueError as error:
        if type(error) is not ValueError or "Unrecognized configuration class" not in str(error):
            raise
        problem = "its architecture is not a causal language model (a decoder) that transformers can load"
        raise PrunegridError(folder, problem, "choose another model") from None
    if missing := sorted(loading["missing_keys"]):
        problem = f"the weights lack {', '.join(missing[:3])} (transformers would initialise them at random)"
        raise PrunegridError(folder, problem, "give the complete weights")
    return model.to(device).eval()


def merge_adapter(base: Path, adapter: Path, out: Path, dtype: str) -> None:
    """Write the model with its adapter merged in as an ordinary folder, with the base model's tokenizer."""
    if not is_adapter(adapter):
        raise PrunegridError(adapter, "holds no adapter (adapter_config.json)", "use a whole model as it is")
    if out.exists():
        raise PrunegridError(out, "already exists", "remove it, or give another --out")
    model = apply_adapter(load_model(base, dtype, "cpu"), adapter)
    with replacing(out) as folder:
        model.save_pretrained(folder)
        load_tokenizer(base).save_pretrained(folder)


def check_device(device: str, count: int = 1) -> None:
    """Refuse a `device` of which this machine has fewer than `count`."""
    if device != "cuda":
        return
    import torch

    if (present := torch.cuda.device_count()) < count:
        problem = f"is cuda and {count} GPU(s) are needed, but torch {torch.__version__} sees {present}"
        fix = "run on a GPU node, install a CUDA build of torch, or choose the device cpu"
        raise PrunegridError("device", problem, fix)
