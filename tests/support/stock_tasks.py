"""A mirror of made-up items for some of lm-eval's own tasks, which its command reads, too: as local data sets."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</{{ message['role'] }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
WMDP = {"wmdp-bio": 5, "wmdp-chem": 3, "wmdp-cyber": 4}


def write_mirror(folder: Path) -> Path:
    """hellaswag, gsm8k, lambada_openai, and the group wmdp, of three tasks of 5, 3 and 4 items."""
    for split, count in (("train", 9), ("validation", 8)):
        _write(folder / "Rowan/hellaswag", None, split, [_ending(split, i) for i in range(count)])
    for split, count in (("train", 7), ("test", 5)):
        rows = [{"question": f"A cat eats {i} fish ({split}). Two?", "answer": f"#### {2 * i}"} for i in range(count)]
        _write(folder / "openai/gsm8k", "main", split, rows)
    texts = [{"text": f"The cat {i} drinks all of the milk"} for i in range(4)]
    _write(folder / "EleutherAI/lambada_openai", "default", "test", texts)
    for config, count in WMDP.items():
        rows = [
            {
                "question": f"{config} {i}: what do cats drink?",
                "choices": ["milk", "iron", "sand", "it"],
                "answer": i % 4,
            }
            for i in range(count)
        ]
        _write(folder / "cais/wmdp", config, "test", rows)
    return folder


def ask_lm_eval(mirror: Path, model: Path, task: str, **settings: Any) -> Any:
    """What lm-eval's command computes, with data sets of its own: `settings` are those of `simple_evaluate`."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    import datasets
    from lm_eval import simple_evaluate

    datasets.config.HF_DATASETS_CACHE = mirror.parent / "cache"
    former = Path.cwd()
    os.chdir(mirror)  # where `load_dataset` takes a data set's id for a folder
    try:
        arguments = {"pretrained": str(model), "dtype": "float32"}
        options = {"device": "cpu", "batch_size": 1, "bootstrap_iters": 10, "task_manager": _all_tasks()}
        return simple_evaluate("hf", arguments, [task], **options, **settings)
    finally:
        os.chdir(former)


@cache
def _all_tasks() -> Any:
    """lm-eval's index of its tasks, which takes six seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _ending(split: str, i: int) -> dict[str, Any]:
    endings = ["drinks it.", "flies [away] off.", f"reads {i} books.", "sleeps."]
    context = {"ctx_a": f"A cat, {split} {i}, sees milk.", "ctx_b": "it", "ctx": f"A cat, {split} {i}, sees milk. it"}
    return {"ind": i, "activity_label": "Cats", **context, "endings": endings, "label": str(i % 4)}


def _write(folder: Path, config: str | None, split: str, rows: list[dict[str, Any]]) -> None:
    """A split, and the card in which `load_dataset` finds its configurations."""
    file = folder / (config or "") / f"{split}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if config:
        configs = [
            {
                "config_name": each.name,
                "data_files": [
                    {"split": file.stem, "path": f"{each.name}/{file.name}"} for file in sorted(each.iterdir())
                ],
            }
            for each in sorted(folder.iterdir())
            if each.is_dir()
        ]
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
