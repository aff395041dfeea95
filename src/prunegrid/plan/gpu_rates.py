"""How fast a GPU is: as measured by the GPU kit, else as the limits of an H100 allow.

`python benchmarks/gpu rates RESULTS.json` writes `gpu_rates.json` beside this file. Without it, rates are `ESTIMATED`.
"""

from functools import cache
from math import log
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from prunegrid.core.files import read_json

FILE = Path(__file__).with_name("gpu_rates.json")
PassKind = Literal["forward", "lora", "full"]


class ModelRates(BaseModel):
    """Operations a second at this size: forward, training LoRA or all weights, and anything in float32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: int
    forward: float
    lora: float
    full: float | None = None
    float32: float


class GpuRates(BaseModel):
    """`layer_s`: the least time of a layer's forward pass; `step_s`: an optimizer step without its passes;
    `decode_bytes_s`: how fast a generation step reads the weights; `start_s`: until a process has its GPU."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    models: tuple[ModelRates, ...]
    layer_s: float
    step_s: float
    decode_bytes_s: float
    start_s: float

    def nearest(self, parameters: int) -> ModelRates:
        """The rates of the model nearest in size: small models reach a smaller share of the matrix rate."""
        return min(self.models, key=lambda model: abs(log(max(1, parameters) / model.parameters)))

    def operations(self, kind: PassKind, parameters: int, bf16: bool) -> float:
        """Operations a second. LoRA's rate is used if training all weights was not measured."""
        model = self.nearest(parameters)
        if not bf16:
            return model.float32
        return {"forward": model.forward, "lora": model.lora, "full": model.full or model.lora}[kind]


# Unfused bf16 kernels on an H100: matrices at 80 % of 798e12 operations a second, attention at 45 %, elementwise passes
# at 3e12 bytes a second (benchmarks/gpu/limits.py). float32 without TF32: a ninth of a forward. The rest are guesses.
ESTIMATED = GpuRates(
    source="estimated, not measured: an H100 at its limits",
    models=(
        ModelRates(parameters=6_738_415_616, forward=4.6e14, lora=3.2e14, full=4.6e14, float32=5e13),
        ModelRates(parameters=1_235_814_400, forward=3.3e14, lora=2.1e14, full=3.3e14, float32=3.7e13),
    ),
    layer_s=8e-4,
    step_s=0.03,
    decode_bytes_s=3.0e12,
    start_s=10.0,
)


@cache
def gpu_rates() -> GpuRates:
    """The kit's rates, if there are any."""
    return GpuRates.model_validate(read_json(FILE)) if FILE.exists() else ESTIMATED


def measured() -> bool:
    return gpu_rates() is not ESTIMATED


def description(parameters: list[int]) -> str:
    """The rates for models of these sizes, and their source."""
    rates = gpu_rates()
    models = list(dict.fromkeys(rates.nearest(count) for count in parameters))
    models_text = "; ".join(
        f"{model.parameters / 1e9:.1f}e9 parameters: {_short(model.forward)} operations a second forward, "
        f"{_short(model.lora)} LoRA, {_short(model.full or model.lora)} all weights in bf16, "
        f"{_short(model.float32)} in float32"
        for model in models
    )
    return f"{rates.source}; {models_text}"


def _short(rate: float) -> str:
    return f"{rate:.1e}".replace("e+", "e")
