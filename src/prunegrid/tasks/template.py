"""A benchmark as a section of the config describes it: an lm-eval task that asks what its templates say.

Items are rendered when they are read, so an error names the item; lm-eval gets the prompt, the options and the gold.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.tasks import answers
from prunegrid.tasks.jinja import Template, compile_template
from prunegrid.tasks.task import Task

VERSION = 1
"""Part of every such task's digest. Increase it when this module, `answers` or `jinja` score or ask otherwise."""
METRICS = {"choice": ("acc", "acc_norm"), "generate": tuple(answers.METRICS)}
KEYS = {
    "choice": ("prompt", "choices", "labels", "answer", "metric"),
    "generate": ("prompt", "answer", "metric", "extract", "stop", "max_tokens"),
}
REQUIRED = {"choice": ("prompt", "choices", "answer"), "generate": ("prompt", "answer", "metric")}
TEMPLATES: tuple[str, ...] = ("prompt", "choices", "labels", "answer")
STOP = ("\n\n",)
MAX_TOKENS = 256
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def template_task(kind: str, keys: dict[str, Any]) -> Task:
    """The task of a benchmark's section. Raises `PrunegridError` for keys that are missing, unknown or contradict."""
    _check_keys(kind, keys)
    templates = {key: _compile(key, keys[key]) for key in TEMPLATES if key in keys}
    every = [template for parts in templates.values() for template in parts]
    optional = sorted({name for template in every for name in template.optional})
    fields = sorted({name for template in every for name in template.fields} - set(optional))
    metric = keys.get("metric", METRICS[kind][0])
    metadata = {
        "version": VERSION,
        "template": keys,
        "fields": fields,
        "optional": optional,
        "table_metric": metric,
        "table_filter": "none",
    }
    config = _choice_config(keys) if kind == "choice" else _generation_config(keys, metric)
    return TemplateTask(kind, {"task": kind, **config, "metadata": metadata}, templates=templates)


def _check_keys(kind: str, keys: dict[str, Any]) -> None:
    if missing := [key for key in REQUIRED[kind] if not keys.get(key)]:
        raise PrunegridError(f"kind: {kind}", f"{missing[0]} is missing", "add it")
    if others := [key for key in keys if key not in KEYS[kind]]:
        raise PrunegridError(others[0], f"is not a key of kind: {kind}", f"its keys are {', '.join(KEYS[kind])}")
    if (metric := keys.get("metric", METRICS[kind][0])) not in METRICS[kind]:
        raise PrunegridError("metric", f"is {metric!r}", f"kind: {kind} has {', '.join(METRICS[kind])}")
    if kind == "generate":
        answers.extraction(keys.get("extract", answers.DEFAULT_EXTRACTIONS[metric]))


def _compile(key: str, value: str | list[str]) -> list[Template]:
    texts = value if isinstance(value, list) else [value]
    return [compile_template(text, key) for text in texts]


def _mean(metric: str) -> dict[str, Any]:
    return {"metric": metric, "aggregation": "mean", "higher_is_better": True}


def _common(keys: dict[str, Any]) -> dict[str, Any]:
    # a name alone is a field of the prepared item
    return {"test_split": "test", "num_fewshot": 0, "doc_to_text": "prompt", "target_delimiter": _delimiter(keys)}


def _delimiter(keys: dict[str, Any]) -> str:
    """What stands between prompt and option: a space, unless the prompt ends with white space."""
    return "" if keys["prompt"][-1:].isspace() else " "


def _choice_config(keys: dict[str, Any]) -> dict[str, Any]:
    metrics = [_mean(metric) for metric in METRICS["choice"]]
    choice = {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold"}
    return {**_common(keys), **choice, "metric_list": metrics}


def _generation_config(keys: dict[str, Any], metric: str) -> dict[str, Any]:
    stop, limit = keys.get("stop", list(STOP)), keys.get("max_tokens", MAX_TOKENS)
    return {
        **_common(keys),
        "output_type": "generate_until",
        "doc_to_target": "gold",
        "generation_kwargs": {"until": stop, "do_sample": False, "max_gen_toks": limit},
        "metric_list": [_mean(metric)],
    }


@dataclass(frozen=True)
class TemplateTask(Task):
    """A task whose items are rendered by `templates`."""

    templates: dict[str, list[Template]] = field(default_factory=dict)

    def prepare(self, doc: dict[str, Any]) -> dict[str, Any]:
        """The item's `prompt` and its `gold`: a list of texts, or with `choices` the right one's place."""
        prepared: dict[str, Any] = {"prompt": self.templates["prompt"][0].text(doc)}
        answer = self.templates["answer"][0].value(doc)
        if self.name == "generate":
            return prepared | {"gold": _golds(answer, self.metadata["table_metric"])}
        choices = self._list(doc, "choices")
        labels = self._list(doc, "labels") if "labels" in self.templates else list(LETTERS[: len(choices)])
        return prepared | {"choices": choices, "gold": _place(answer, choices, labels, "labels" in self.templates)}

    def _list(self, doc: dict[str, Any], key: str) -> list[str]:
        """The texts that a template of a list gives, or one text of each template."""
        if isinstance(self.metadata["template"][key], list):
            values: Any = [template.text(doc) for template in self.templates[key]]
        else:
            values = self.templates[key][0].value(doc)
        if not isinstance(values, list | tuple) or len(values) < 2:
            raise ValueError(
                f"{key} gives {values!r}, not a list of two or more; give a list, or the field that is one"
            )
        texts = [str(value) for value in values]
        if not all(text.strip() for text in texts):
            raise ValueError(f"{key} gives {texts}, of which one is empty; fix the row")
        return texts

    def resolve(self) -> dict[str, Any]:
        """The configuration with the function that scores an answer."""
        config = super().resolve()
        if self.name == "generate":
            metric, keys = self.metadata["table_metric"], self.metadata["template"]
            extract = keys.get("extract", answers.DEFAULT_EXTRACTIONS[metric])
            config["process_results"] = functools.partial(answers.score, metric=metric, extract=extract)
        return config


def _golds(answer: Any, metric: str) -> list[str]:
    """The accepted answers, as texts."""
    golds = [str(gold).strip() for gold in (answer if isinstance(answer, list | tuple) else [answer])]
    if not golds or not all(golds):
        raise ValueError(f"answer gives {answer!r}, which is not an answer; fix the row")
    if metric == "number" and (words := [gold for gold in golds if answers.number(gold) is None]):
        raise ValueError(f"answer gives {words[0]!r}, which is not a number; give the number alone")
    return golds


def _place(answer: Any, choices: list[str], labels: list[str], labelled: bool) -> int:
    """The right option's place: by its number from 0, by its label, or by its text (before letters A, B, ...)."""
    if len(labels) != len(choices):
        raise ValueError(f"labels gives {labels} for the choices {choices}; give each a label")
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(choices):
            return answer
        raise ValueError(f"answer gives {answer}, but its choices are numbered 0 to {len(choices) - 1}; fix the row")
    for names in (labels,) if labelled else ([choice.strip() for choice in choices], labels):
        if str(answer).strip() in names:
            return names.index(str(answer).strip())
    among = f"the labels {labels}" if labelled else f"the choices {choices}"
    fix = "give a label" if labelled else "give an option's text, its letter, or its number: '{{label | int}}'"
    raise ValueError(f"answer gives {answer!r}, which is not among {among}; {fix}")
