"""What an lm-eval task leaves to defaults, stated: lm-eval's own defaults, and those of prunegrid's metadata."""

from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.tasks.task import FUNCTION, WHOLE_STRING

METRICS = {"multiple_choice": ("acc", "acc_norm"), "generate_until": ("exact_match",), "loglikelihood": ("acc",)}
"""lm-eval's metrics of a task that lists none, by its kind; those that are a mean over items."""
SPLITS = ("test_split", "validation_split")
ELSEWHERE = (
    *("dataset_path", "dataset_name", "dataset_kwargs", "training_split", *SPLITS),
    *("fewshot_split", "fewshot_config", "tag", "group"),
)
"""Keys of where lm-eval finds items and examples, and lists tasks: here the benchmark says so."""
GREEDY = {"do_sample": False, "max_gen_toks": 256}
UNUSED = ("temperature", "top_p", "top_k")  # of greedy decoding


def complete(config: dict[str, Any], origin: str) -> dict[str, Any]:
    """The configuration as prunegrid runs it; `PrunegridError`, naming `origin`, for one that cannot be run."""
    kind = config.get("output_type", "generate_until")
    if kind not in METRICS:
        raise PrunegridError(origin, f"output_type is {kind!r}", f"prunegrid runs {', '.join(METRICS)}")
    if shots := config.get("num_fewshot"):
        problem, fix = (
            f"requests {shots} examples before each item",
            "write them into doc_to_text, or set num_fewshot: 0",
        )
        raise PrunegridError(f"{origin}: num_fewshot", problem, fix)
    rest = {key: value for key, value in config.items() if key not in ELSEWHERE} | {"num_fewshot": 0}
    metric_list = config.get("metric_list") or [_mean(metric) for metric in METRICS[kind]]
    rest |= {"output_type": kind, "test_split": "test", "metric_list": metric_list}
    if kind == "generate_until":
        rest["generation_kwargs"] = _generation(config)
    return rest | {"metadata": _metadata(rest, origin)}


def _mean(metric: str) -> dict[str, Any]:
    return {"metric": metric, "aggregation": "mean", "higher_is_better": True}


def _generation(config: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's defaults, and no settings of sampling where there is none."""
    given = config.get("generation_kwargs") or {}
    until = given.get("until", config.get("fewshot_delimiter", "\n\n"))
    settings = {**GREEDY, **given, "until": [until] if isinstance(until, str) else until}
    unused = UNUSED if not settings["do_sample"] else ()
    return {key: value for key, value in settings.items() if key not in unused}


def _metadata(config: dict[str, Any], origin: str) -> dict[str, Any]:
    """The task's own metadata, with a version, a metric and a filter for the table."""
    filters = config.get("filter_list") or [{"name": "none"}]
    given = config.get("metadata") or {}
    scored_by = given.get("scored_by")
    if scored_by and (scored_by not in WHOLE_STRING or config["output_type"] != "multiple_choice"):
        problem = f"is {scored_by!r} with output_type: {config['output_type']}"
        fix = f"give {' or '.join(WHOLE_STRING)} with output_type: multiple_choice, or remove it"
        raise PrunegridError(f"{origin}: metadata.scored_by", problem, fix)
    table = {} if "table_metric" in given else {"table_metric": _table_metric(config["metric_list"], origin)}
    return {"version": 0, "table_filter": filters[0]["name"], **table, **given}


def _table_metric(metric_list: list[dict[str, Any]], origin: str) -> str:
    """The first metric that is a mean over items."""
    for entry in metric_list:
        if entry.get("aggregation", "mean") == "mean":
            return str(entry["metric"]).removeprefix(FUNCTION).rpartition(".")[2]
    names = ", ".join(str(entry["metric"]) for entry in metric_list)
    fix = "add one with aggregation: mean, and name it in metadata.table_metric"
    raise PrunegridError(f"{origin}: metric_list", f"no metric of {names} is a mean over items", fix)


def default_data(config: dict[str, Any]) -> dict[str, Any] | None:
    """The data set that the task names, by the keys of the section `data`; None if it names none."""
    path = config.get("dataset_path")
    split = next((str(config[key]) for key in SPLITS if config.get(key)), "test")
    files = (config.get("dataset_kwargs") or {}).get("data_files")
    if path in ("json", "csv", "parquet"):
        file = files.get(split) if isinstance(files, dict) else files
        return {"path": file, "split": split} if isinstance(file, str) else None
    if not path:
        return None
    name = config.get("dataset_name")
    return {"hub": str(path), "split": split, **({"config": str(name)} if name else {})}
