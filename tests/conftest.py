"""Fixtures that several tests share: a tiny model, a data set, its scores."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: on tiny models threads only wait for one another
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # before their import: else lm-eval asks the hub

from prunegrid.data.datasets import write_dataset
from prunegrid.experiment import grid
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import Scoring
from prunegrid.pruners import JOINT, SAMPLE, TOKEN
from support import browser as browsers
from support import fault_runs
from support.docs import example
from support.faulty import warm_jobs
from support.killed_jobs import Inputs, prepare, run
from support.lm_eval_logs import write_logs
from support.programs import warm_ranks
from support.results_folder import an_experiment, finish, put, shared_files
from support.tiny_llama import write_tiny_model
from support.toy_tasks import ITEMS, write_jsonl, write_toy_model

MARKS = {"faults": ["slow"], "cluster": ["slow", "cluster"]}  # of whole folders
TRAINING = {"inputs", "server"}  # fixtures of tests that start training jobs


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in MARKS.get(item.path.relative_to(Path(__file__).parent).parts[0], ()):
            item.add_marker(mark)
        if TRAINING & set(getattr(item, "fixturenames", ())):
            item.add_marker("training")


QUESTIONS = [
    "What do cats drink?",
    "Where do fish live?",
    "What is 2 + 3?",
    "What is 4 + 1?",
    "Who drinks milk?",
]
ANSWERS = [
    "Cats drink milk.",
    "In water",
    "2 + 3 = 5. #### 5",
    "5",
    "The cats do, and nobody else that I know of.",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def lm_eval_logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two output folders of lm-eval, `a` and `b`."""
    return write_logs(tmp_path_factory.mktemp("lm-eval"))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The items of every task, by task."""
    folder = tmp_path_factory.mktemp("items")
    return {task: write_jsonl(folder / f"{task}.jsonl", rows) for task, rows in ITEMS.items()}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract's Parquet of 20 samples of different lengths."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"prompt": f"{QUESTIONS[i % 5]} ({i})", "response": " ".join([ANSWERS[i % 5]] * (1 + i % 3))} for i in range(20)
    ]
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "data.parquet"
    write_dataset(Dataset(name="toy", path=str(source)), str(source), out, folder / "data.json")
    return out


@pytest.fixture(scope="session")
def scores(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path) -> Path:
    from prunegrid.scoring.score import score

    out = tmp_path_factory.mktemp("scores") / "tiny"
    score(tiny_model, dataset, out, Scoring(max_length=200, batch_tokens=300))
    return out


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Real data sets laid out org/name/config/split.jsonl; tests that need them skip where they are absent."""
    folder = os.environ.get("PRUNEGRID_DATA")
    if not folder:
        pytest.skip("PRUNEGRID_DATA names no data mirror")
    return Path(folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Zero-shot, full/seed0, random+random are done; of the rest one is half done, one failed, one killed."""
    experiment = an_experiment()
    put(tmp_path / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(tmp_path, experiment)
    cells = {cell.path: cell for cell in grid.cells(experiment)}
    finish(tmp_path, cells["zero-shot"], 10, 20)
    finish(tmp_path, cells["full/seed0"], 50, 60.5)
    finish(tmp_path, cells["s0.125-t0.5/random+random/seed0"], 30, 40)
    finish(tmp_path, cells["s0.125-t0.5/random+random/seed1"], 31, 43)
    finish(tmp_path, cells["s0.125-t0.5/random+ppl/seed0"], 30.25, 38)
    finish(tmp_path, cells["s0.125-t0.5/random+ppl/seed1"], 35)
    logs = tmp_path / "logs"
    put(logs / "prune/m/s0.125-t0.5/q0/seed0.log", "1000 samples\ndone in 0.1 s\n\n")
    put(logs / "train/m/s0.125-t0.5/q0/seed0.log", "step 1\nFAILED: CUDA out of memory\n")
    put(logs / "train/m/s0.125-t0.5/q0/seed1.log", "step 1\n")
    return tmp_path


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the example of docs/tutorials/own-pruner.md, `my_pruners.py`; the registries are
    restored."""
    (tmp_path / "my_pruners.py").write_text(example())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    registered = [dict(registry) for registry in (SAMPLE, TOKEN, JOINT)]
    yield tmp_path
    sys.modules.pop("my_pruners", None)
    for registry, pruners in zip((SAMPLE, TOKEN, JOINT), registered, strict=True):
        registry.clear()
        registry.update(pruners)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, scores: Path) -> Inputs:
    return prepare(tmp_path_factory.mktemp("pruned"), tiny_model, scores)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with warm_ranks.served(tmp_path_factory.mktemp("ranks")) as socket:
        yield socket


@pytest.fixture(scope="module")  # not longer: while it is open, no other test can run an event loop of its own
def browser() -> Iterator[Any]:
    """A Chromium for pages of `support.browser`; tests that need one skip where there is none."""
    if reason := browsers.missing_requirement():
        pytest.skip(f"no browser: {reason}")
    with browsers.started() as started:
        yield started


@pytest.fixture(scope="session")
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a server that starts the jobs of workflows in half a second (`warm_jobs`)."""
    with warm_jobs.served(tmp_path_factory.mktemp("warm")) as socket:
        yield socket


@pytest.fixture(scope="module")
def warm_workflow(warm_server: Path) -> Iterator[None]:
    """Every workflow that the module's tests start has its jobs run by the server."""
    with fault_runs.warm_workflows(warm_server):
        yield


@pytest.fixture(scope="session")
def whole(warm_server: Path, tmp_path_factory: pytest.TempPathFactory) -> fault_runs.Whole:
    """The experiment of the fault matrix, which is run once for all that disturb copies of it."""
    folders = (tmp_path_factory.mktemp(name) for name in ("whole", "jobs"))
    return fault_runs.undisturbed(*folders, warm_server)


@contextmanager
def starting_warm(server: Path) -> Iterator[None]:
    from prunegrid.training import processes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "command", partial(warm_ranks.command, server))
        yield


@pytest.fixture
def warm(server: Path) -> Iterator[None]:
    """The test's training jobs start in a second (see `warm_ranks`)."""
    with starting_warm(server):
        yield


@pytest.fixture(scope="module")
def warm_module(server: Path) -> Iterator[None]:
    """All of the module's training jobs do."""
    with starting_warm(server):
        yield


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, inputs: Inputs, server: Path) -> Callable[..., Path]:
    """The outputs of an uninterrupted job of these settings, which is run once for all that ask."""
    made: dict[str, Path] = {}

    def outputs(**settings: Any) -> Path:
        key = json.dumps(settings, sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("undisturbed")
            with starting_warm(server):
                run(made[key], inputs, **settings)
        return made[key]

    return outputs
