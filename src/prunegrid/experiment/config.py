"""The experiment's configuration: the keys of `config.yaml` and `experiments/*.yaml`.

`python -m prunegrid.experiment.config` prints the JSON schema kept in `workflow/schemas`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from prunegrid import pruners
from prunegrid.core.errors import PrunegridError
from prunegrid.core.validation import validation_errors
from prunegrid.experiment import seed_rule
from prunegrid.experiment.contrasts import PrimaryContrast
from prunegrid.experiment.dataset import DataRef, Dataset, Unit
from prunegrid.experiment.evaluation import Evaluation
from prunegrid.experiment.ladder import Ladder, expand
from prunegrid.experiment.model import Model, Sandbox, Source
from prunegrid.experiment.names import FULL, SHUFFLED, ZERO_SHOT, Reference
from prunegrid.experiment.score_file import ScoreFile, check_scores
from prunegrid.experiment.section import InputPath, Name, Ratio, Section, added
from prunegrid.experiment.training import USUAL_DTYPE, Pruning, Runtime, Scoring, Training
from prunegrid.experiment.training_checks import check_gpu_options, check_trainings
from prunegrid.experiment.variant import Budget, Variant, query_readers
from prunegrid.pruners.columns import REFERENCE_EXTRAS
from prunegrid.sandbox.data_sets import DATA_SETS, QUERIES


class Experiment(Section):
    """One table: everything that decides its numbers, and nothing about where it runs."""

    experiment: Name = Field(description="name of its folder in results/")
    note: str = Field("", description="remark below the table")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where models are scored, trained and evaluated")
    data_mirror: InputPath | None = Field(
        None, description="folder laid out as org/name/config/split.jsonl; searched before the hub"
    )
    sandbox: Sandbox | None = Field(None, description="generate a small world instead of using the hub")
    models: dict[Name, Model] = Field(min_length=1, description="base models")
    dataset: Dataset = Field(description="training set")
    query: Dataset | None = added(None, description="samples of a target task, for pruners that choose similar data")
    budgets: list[Budget] = Field([], description="budgets; or give sample_ratios and token_ratios")
    sample_ratios: list[Ratio] = Field([], description="with token_ratios: a budget for every combination")
    token_ratios: list[Ratio] = Field([], description="with sample_ratios: a budget for every combination")
    variants: list[Variant] = Field([], description="pruners with their options: rows of the table")
    ladder: Ladder | None = added(None, description="two readings of some rows; their variants are added to the grid")
    unit: Unit = added("turn", description="what sample pruners choose: single turns, or (turns: all) conversations")
    references: list[Reference] = Field(
        [ZERO_SHOT, FULL], description="further rows: the untrained model, all data, all data with shuffled responses"
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [0],
        min_length=1,
        description="one whole grid per seed; auto(MIN, MAX, detect=POINTS): as many as needed to detect POINTS in Avg",
        json_schema_extra=seed_rule.allow_text,
    )
    seed_rule: str | None = added(None, description="the rule, if `seeds` was auto(...); filled in automatically")
    scores: dict[Name, ScoreFile] = added({}, description="scores from another tool: columns that any pruner can read")
    scoring: Scoring = Field(Scoring(), description="the scoring pass")
    pruning: Pruning = added(Pruning(), description="how static selections are computed; does not affect results")
    training: Training = Field(Training(), description="fine-tuning settings")
    runtime: Runtime = Field(Runtime(), description="how jobs run")
    evaluation: Evaluation = Field(description="benchmarks")
    contamination: bool = added(False, description="search the training set for items of the benchmarks")
    contrasts: dict[Name, PrimaryContrast] = added(
        {}, description="questions stated before the run: means of deltas over benchmarks, models and budgets"
    )

    @model_validator(mode="before")
    @classmethod
    def with_seed_rule(cls, values: Any) -> Any:
        """Start with the least number of seeds where `seeds` is a rule; results folders know the later number."""
        if not isinstance(values, dict) or not isinstance(values.get("seeds"), str):
            return values
        rule = seed_rule.parse(values["seeds"])
        return values | {"seeds": list(range(rule.least)), "seed_rule": values["seeds"]}

    @model_validator(mode="before")
    @classmethod
    def with_dtypes(cls, values: Any) -> Any:
        """Default to bfloat16 on a GPU, but not for training at ZeRO stage 0, which does not support it."""
        if not isinstance(values, dict) or values.get("device") != "cuda":
            return values
        sections = {name: values.get(name) or {} for name in ("scoring", "training", "evaluation")}
        if not all(isinstance(section, dict) for section in sections.values()):
            return values
        dtype = {"dtype": USUAL_DTYPE["cuda"]}
        bf16 = {"bf16": sections["training"].get("zero_stage", 2) != 0}
        defaults = {"scoring": dtype, "training": bf16, "evaluation": dtype}
        return values | {name: defaults[name] | section for name, section in sections.items()}

    @model_validator(mode="before")
    @classmethod
    def with_ladder(cls, values: Any) -> Any:
        return expand(values)

    @model_validator(mode="after")
    def check_ladder(self) -> Self:
        if not self.variants:
            raise ValueError("variants is empty; name some, or give a ladder")
        if self.ladder:
            self.ladder.check(self.variants, self.training, list(self.evaluation.benchmarks))
        return self

    @model_validator(mode="after")
    def check_grid(self) -> Self:
        if bool(self.budgets) == bool(self.sample_ratios or self.token_ratios):
            raise ValueError("give either budgets, or sample_ratios and token_ratios")
        if not self.grid_budgets:
            raise ValueError("sample_ratios and token_ratios must both be given")
        for key, names in {
            "variants": [v.name for v in self.variants],
            "budgets": [b.name for b in self.grid_budgets],
            "seeds": [str(s) for s in self.seeds],
        }.items():
            duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
            if duplicates:
                raise ValueError(f"{key} lists {', '.join(duplicates)} more than once")
        return self

    @model_validator(mode="after")
    def check_seed_rule(self) -> Self:
        if self.seed_rule is not None:
            rule = seed_rule.parse(self.seed_rule)
            if self.seeds != list(range(len(self.seeds))) or not rule.least <= len(self.seeds) <= rule.most:
                raise ValueError(f"seed_rule is {self.seed_rule}, but seeds do not follow from it; give only seeds")
        return self

    @model_validator(mode="after")
    def check_contamination(self) -> Self:
        if self.contamination and self.dataset.name == "contamination":
            raise ValueError("dataset.name is contamination, which names the file of that check; give another name")
        return self

    @model_validator(mode="after")
    def check_contrasts(self) -> Self:
        known: dict[str, Sequence[Any]] = {
            "variants": [variant.name for variant in self.variants],
            "benchmarks": list(self.evaluation.benchmarks),
            "models": list(self.models),
            "budgets": self.grid_budgets,
        }
        for name, contrast in self.contrasts.items():
            contrast.check(name, known, self.references)
        return self

    @model_validator(mode="after")
    def check_sandbox(self) -> Self:
        if self.sandbox is None and any(source.pretrain for source in self.sources.values()):
            raise ValueError("a model with pretrain needs a sandbox section: it is trained on the sandbox's text")
        for ref in self.data_sets if self.sandbox else ():
            if ref.hub and ref.mirror_name not in (*DATA_SETS, QUERIES):
                raise ValueError(
                    f"{ref.hub} (config {ref.config}, split {ref.split}) is not in the sandbox; "
                    f"org/name/config/split available: {', '.join((*DATA_SETS, QUERIES))}"
                )
        return self

    @model_validator(mode="after")
    def check_matches(self) -> Self:
        variants = {variant.name: variant for variant in self.variants}
        for name, variant in variants.items():
            if variant.match is None:
                continue
            if variant.match not in variants or variants[variant.match].match:
                unmatched = ", ".join(other.name for other in variants.values() if not other.match)
                fix = f"name one of this experiment's variants: {unmatched}" if unmatched else "add a variant to match"
                raise ValueError(f"{name}: match is {variant.match!r}; {fix}")
            if pruners.pruner_names(variant.method)[1] is None:
                raise ValueError(f"{name}: {variant.method} prunes by its own rules; only a pair can match")
        return self

    @model_validator(mode="after")
    def check_references(self) -> Self:
        missing = [name for name, model in self.models.items() if model.reference is None]
        reads = {variant.name: pruners.needs(variant.method, variant.options) for variant in self.variants}
        columns = {"scoring.extra": {*self.scoring.extra}}
        columns |= {name: {*needs.samples, *needs.tokens} for name, needs in reads.items()}
        for name in columns:
            if missing and REFERENCE_EXTRAS & columns[name]:
                raise ValueError(
                    f"{name} needs a reference model; give models.{missing[0]}.reference "
                    "(hub, path, wheel or pretrain, of the same vocabulary)"
                )
        return self

    @model_validator(mode="after")
    def check_scores(self) -> Self:
        check_scores(self.scores, self.variants)
        return self

    @model_validator(mode="after")
    def check_query(self) -> Self:
        if self.query is None and (readers := query_readers(self.variants)):
            raise ValueError(f"{readers[0].name} needs a query set; give the section query (hub or path, as dataset)")
        return self

    @model_validator(mode="after")
    def check_gpu_options(self) -> Self:
        check_gpu_options(self.training, self.device)
        return self

    @model_validator(mode="after")
    def check_ranks(self) -> Self:
        ranks, nodes = self.training.ranks, self.runtime.nodes
        if ranks % nodes:
            raise ValueError(f"training.ranks ({ranks}) must be a multiple of runtime.nodes ({nodes})")
        return self

    @model_validator(mode="after")
    def check_trainings(self) -> Self:
        check_trainings(self.variants, self.training, self.grid_budgets, self.scores)
        return self

    @model_validator(mode="after")
    def check_conversations(self) -> Self:
        if self.dataset.turns != "all":
            if self.unit == "conversation":
                raise ValueError("unit: conversation needs dataset.turns: all; set it, or leave unit out")
            return self
        if SHUFFLED in self.references:
            raise ValueError(
                f"{SHUFFLED} cannot replace the answers within a conversation; leave it out of references, or set "
                "dataset.turns: each"
            )
        for variant in self.variants:
            if (variant.mode or self.training.mode) == "dynamic":
                fix = "set dataset.turns: each, or mode: static"
                raise ValueError(f"{variant.name}: mode: dynamic scores an answer at a time; {fix}")
        return self

    @property
    def sources(self) -> dict[str, Source]:
        """The base models, and their reference models as `<model>@reference`."""
        bases = {name: model.source for name, model in self.models.items()}
        return bases | {f"{name}@reference": model.reference for name, model in self.models.items() if model.reference}

    @property
    def data_sets(self) -> list[DataRef]:
        """The training set, items of benchmarks that name them (lm-eval's own tasks need not), examples, queries."""
        benchmarks = self.evaluation.asked.values()
        examples = [benchmark.example_rows.data for benchmark in benchmarks if benchmark.example_rows]
        data = [benchmark.data for benchmark in benchmarks if benchmark.data]
        return [self.dataset, *data, *examples, *([self.query] if self.query else [])]

    @property
    def grid_budgets(self) -> list[Budget]:
        """The budgets, or all combinations of sample and token ratios."""
        return self.budgets or [
            Budget(sample_ratio=s, token_ratio=t) for s in self.sample_ratios for t in self.token_ratios
        ]

    @property
    def results(self) -> str:
        return f"results/{self.experiment}"

    def variant(self, name: str) -> Variant:
        return next(v for v in self.variants if v.name == name)


def load(values: dict[str, Any], source: str = "config.yaml") -> Experiment:
    """Validate the values of `source`; anything wrong is one `PrunegridError` naming each key and its fix."""
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        raise validation_errors(error, Experiment, source) from None


def check_command_line(texts: Iterable[str]) -> None:
    """Refuse what a cluster's jobs would get in another form: Snakemake quotes for Python, not for a shell."""
    for text in texts:
        if character := re.search(r"['$`\\\n]", text):
            raise PrunegridError(
                repr(text),
                f"has a {character[0]!r}, which a job's shell would read",
                "write such values into the file that --configfile names, and give that file a plain name",
            )


if __name__ == "__main__":
    print(json.dumps(Experiment.model_json_schema(), indent=1))
