"""Settings DeepSpeed has no option for; they must be made before it starts."""

import os

import deepspeed
import torch
from deepspeed.runtime import compiler
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address


def set_up(device: str) -> None:
    _import_muon_uncompiled()
    _restrict_unpickling()
    if device == "cpu":
        # An optional C++ op that takes over a minute to compile at first use; gloo serves instead.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _import_muon_uncompiled() -> None:
    """DeepSpeed compares every optimizer with its Muon, whose import loads torch's compiler: seconds for nothing."""
    original, compiler.compile = compiler.compile, lambda: lambda function: function
    try:
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        compiler.compile = original


def _restrict_unpickling() -> None:
    """Let a checkpoint's pickles hold tensors and plain values only: DeepSpeed would run any code in them."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])
