"""The keys of how answers are generated: of all benchmarks (`evaluation.decoding`), and of one (`gen_kwargs`)."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from prunegrid.experiment.section import Section, added

SEED = "of the random numbers of sampled answers; 0 by default"


class Generation(Section):
    """How answers are generated, under lm-eval's names; what is not given is the task's. Greedy without temperature."""

    max_gen_toks: int | None = added(None, ge=1, description="maximum number of new tokens of an answer")
    until: list[Annotated[str, Field(min_length=1)]] | None = added(None, description="texts that end an answer")
    temperature: float | None = added(None, ge=0, description="sampling temperature; 0: greedy")
    top_p: float | None = added(
        None, gt=0, le=1, description="nucleus sampling: sample from the most likely tokens with this total probability"
    )
    top_k: int | None = added(None, ge=1, description="sample from this many most likely tokens")
    seed: int | None = added(None, ge=0, description=SEED)

    @model_validator(mode="after")
    def check_sampling(self) -> Self:
        _check_nucleus(self.temperature, self.top_p, self.top_k)
        return self


class Decoding(Section):
    """How the answers to all benchmarks are drawn whose answers are generated; a benchmark's `gen_kwargs` go first.

    Options are not drawn, and lm-eval's own tasks are decoded greedily: neither reads this.
    """

    temperature: float | None = added(None, ge=0, description="sampling temperature; greedy by default")
    top_p: float | None = added(
        None, gt=0, le=1, description="nucleus sampling: sample from the most likely tokens with this total probability"
    )
    top_k: int | None = added(None, ge=1, description="sample from this many most likely tokens")
    seed: int | None = added(None, ge=0, description=SEED)

    @model_validator(mode="after")
    def check_sampling(self) -> Self:
        _check_nucleus(self.temperature, self.top_p, self.top_k)
        return self

    def under(self, gen_kwargs: Generation, task_temperature: float) -> Generation:
        """A benchmark's own keys and, if its answers are drawn, these for what it leaves out."""
        own = gen_kwargs.model_dump()
        drawn = own.get("temperature", self.temperature)
        if not (task_temperature if drawn is None else drawn):
            return gen_kwargs
        return Generation(**self.model_dump() | own)


def _check_nucleus(temperature: float | None, top_p: float | None, top_k: int | None) -> None:
    if not temperature and (top_p is not None or top_k is not None):
        key = "top_k" if top_p is None else "top_p"
        raise ValueError(f"{key} needs a temperature, since answers are greedy without one; give it, or remove {key}")
