"""A file that has changed since it was recorded is refused by whoever reads it, and named: one bit is enough.

`tests/unit/verification` holds what `prunegrid verify` finds in a folder at rest.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import config, grid
from prunegrid.exporters.origin import find_scores, read_summary
from prunegrid.models import evaluated_digests, expected_digests
from prunegrid.scoring.score import score
from prunegrid.selection.prune import prune
from prunegrid.selection.summary import check_cell
from prunegrid.table.build import build
from prunegrid.training import Job, train
from support.errors import refused
from support.finished_folder import PPL, RANDOM, write_finished
from support.tiny_llama import write_tiny_model

SELECTION = f"pruned/{PPL}/selection.parquet"
TABLES = ("scores/m/samples.parquet", "scores/m/tokens.parquet")
WEIGHTS = f"trained/{PPL}/model/model.safetensors"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_finished(home)
    return home


@pytest.fixture
def root(home: Path, tmp_path: Path) -> Path:
    """A copy, whose base model links to a copy of the sources."""
    shutil.copytree(home / "model", tmp_path / "model")
    root = tmp_path / "results/whole"
    shutil.copytree(home / "results/whole", root, symlinks=True)
    weights = root / "models/m/model.safetensors"
    weights.unlink()
    weights.symlink_to(tmp_path / "model/model.safetensors")
    return root


def run_score(root: Path) -> None:
    experiment = config.load(files.read_json(root / "experiment.json"))
    score(root / "models/m", root / "data/d.parquet", root / "again", experiment.scoring)


def run_prune(root: Path) -> None:
    experiment = config.load(files.read_json(root / "experiment.json"))
    (cell,) = (cell for cell in grid.cells(experiment) if cell.name == PPL)
    digests = expected_digests(root / "models/m.json", root / "data/d.parquet")
    prune(root / "scores/m", root / "again", grid.pruning_of(experiment, cell), 0, expected_digests=digests, root=root)


def run_train(root: Path) -> None:
    experiment = config.load(files.read_json(root / "experiment.json"))
    job = Job(
        model=root / "models/m",
        scores=root / "scores/m",
        selection=root / SELECTION,
        training=experiment.training,
        seed=0,
    )
    train(job, root / "again/model", root / "again/training.json", files.read_json(root / "models/m.json")["digests"])


def run_evaluate(root: Path) -> None:
    evaluated_digests(root / "models/m", root / WEIGHTS.rpartition("/")[0])


def run_evaluate_base(root: Path) -> None:
    evaluated_digests(root / "models/m", root / "models/m")


def run_export(root: Path) -> None:
    folder = (root / SELECTION).parent
    find_scores(folder, read_summary(folder), root / "scores/m")


def flip(path: Path, bit: int) -> None:
    """Change one bit, and keep the file's time."""
    time, content = path.stat().st_mtime_ns, bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


READERS: dict[str, list[Callable[[Path], None]]] = {
    "models/m/model.safetensors": [run_score, run_train, run_evaluate_base],
    "models/m/tokenizer.json": [run_score, run_train, run_evaluate_base],
    "data/d.parquet": [run_score, run_prune],
    TABLES[0]: [run_prune, run_train, run_export],
    TABLES[1]: [run_prune, run_train, run_export],
    SELECTION: [run_train, run_export],
    WEIGHTS: [run_evaluate],
    f"trained/{PPL}/model/config.json": [run_evaluate],
}
"""Who reads each file."""
CASES = [(file, reader) for file, readers in READERS.items() for reader in readers]


@pytest.mark.parametrize(("file", "reader"), CASES, ids=[f"{file}-{reader.__name__}" for file, reader in CASES])
def test_one_bit_is_refused_by_who_reads_it(file: str, reader: Callable[[Path], None], root: Path) -> None:
    path = root / file
    flip(path, 8 * path.stat().st_size - 7)
    with pytest.raises(PrunegridError) as caught:
        reader(root)
    assert caught.value.where == str(path)
    assert "SHA-256" in caught.value.what or path.suffix == ".parquet"
    assert "then the same snakemake command" in caught.value.fix
    assert not (root / "again").exists()


def flips(path: Path, count: int) -> Iterator[int]:
    """Flip `count` bits all over the file, one at a time."""
    content, places = path.read_bytes(), random.Random(0)
    for _ in range(count):
        bit = places.randrange(8 * len(content))
        flip(path, bit)
        yield bit
        path.write_bytes(content)


COUNTS = [pytest.param(12, id="few"), pytest.param(150, marks=pytest.mark.slow, id="many")]


@pytest.mark.parametrize("count", COUNTS)
def test_every_flipped_bit_of_a_selection_is_refused_by_training(count: int, root: Path) -> None:
    for bit in flips(root / SELECTION, count):
        with pytest.raises(PrunegridError) as caught:
            run_train(root)
        assert caught.value.where == str(root / SELECTION), bit


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("file", TABLES)
def test_every_flipped_bit_of_scores_is_refused_by_pruning(file: str, count: int, root: Path) -> None:
    for bit in flips(root / file, 2 * count if "tokens" in file else count):
        with pytest.raises(PrunegridError) as caught:
            run_prune(root)
        assert caught.value.where == str(root / file), bit


@pytest.mark.parametrize("count", [pytest.param(100, id="few"), pytest.param(1000, marks=pytest.mark.slow, id="many")])
@pytest.mark.parametrize("file", [SELECTION, *TABLES])
def test_flipped_bits_without_digests_are_refused_or_change_no_value(file: str, count: int, root: Path) -> None:
    """Page checksums alone: older records have no digests. The footer has no checksum, and is most of these files."""
    path, outcomes = root / file, Counter[str]()
    values = pq.read_table(path).to_pydict()
    for _ in flips(path, count):
        try:
            table = files.read_parquet(path, list(values))
            list(files.read_batches(path, 7))
            list(files.stream_parquet(path, table.column_names, [5]))
        except PrunegridError as error:
            outcomes["refused" if error.where == str(path) and "\n" not in str(error) else "unclear"] += 1
        else:
            outcomes["harmless" if table.to_pydict() == values else "silent"] += 1
    assert outcomes["refused"] > count / 3 and not outcomes["unclear"]
    assert outcomes["silent"] <= count / 20


def test_pages_are_written_with_checksums_by_every_writer(root: Path) -> None:
    """A changed byte in the middle of the first page is found by its checksum."""
    paths = sorted(root.rglob("*.parquet"))
    assert {path.name for path in paths} >= {"d.parquet", "samples.parquet", "tokens.parquet", "results.parquet"}
    for path in paths:
        column = pq.ParquetFile(path).metadata.row_group(0).column(0)
        first = column.dictionary_page_offset or column.data_page_offset
        flip(path, 8 * (first + column.total_compressed_size - 1))
        with refused(path, "damaged"):
            files.read_parquet(path)


def test_a_selection_in_another_cells_folder_is_not_trained_on(root: Path) -> None:
    folders = [root / f"pruned/{cell}" for cell in (RANDOM, PPL)]
    swap(*folders)
    summary = folders[1] / "selection.json"
    with refused(summary, "random+random", "random+ppl", fix=f"rm {summary}"):
        check_cell(summary, "m", PPL.removeprefix("m/"))
    check_cell(root / f"pruned/{RANDOM}/selection.json", "m", PPL.removeprefix("m/"))


def swap(one: Path, other: Path) -> None:
    away = one.rename(one.with_name("away"))
    other.rename(one)
    away.rename(other)


@pytest.mark.parametrize("cell", ["full/seed0", "zero-shot", "s0.5-t0.5/random+ppl/seed0"])
@pytest.mark.parametrize("part", ["record", "items"])
def test_a_changed_score_is_not_collected(cell: str, part: str, root: Path) -> None:
    record = root / f"evaluation/m/{cell}/A.json"
    if part == "record":
        files.write_json(record, content := files.read_json(record) | {"score": files.read_json(record)["score"] + 1})
        assert content["n_items"] > 0
    else:
        table = pq.read_table(items := record.with_suffix(".parquet"))
        values = pa.array([1 - value for value in table["value"].to_pylist()])
        files.write_parquet(items, table.set_column(table.schema.get_field_index("value"), "value", values))
    with refused(record if part == "record" else record.with_suffix(".parquet"), "score", fix=f"rm {record}"):
        build(root)


def test_other_weights_behind_a_link_of_the_same_size_and_time_are_refused(root: Path) -> None:
    """The first case of all: one table of two models."""
    weights = root / "models/m/model.safetensors"
    other = write_tiny_model(root / "other", seed=1) / "model.safetensors"
    os.utime(other, ns=(10**9, 10**9))
    other.replace(weights.resolve())
    for reader in (run_score, run_train, run_evaluate_base):
        with refused(weights, "models/m.json", fix=f"rm -r {weights.parent}"):
            reader(root)
