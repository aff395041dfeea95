"""What is done to a finished folder is found, and the file named: each situation of docs/explanation/reliability.md
is a row."""

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prunegrid.cli.app import main
from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import config, grid
from prunegrid.table.build import build
from prunegrid.verification.links import walk_folder
from prunegrid.verification.verify import verify
from support.finished_folder import PPL, RANDOM, an_experiment, edit_json, make_cell, write_finished
from support.tiny_llama import write_tiny_model


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_finished(home)
    return home


@pytest.fixture
def root(home: Path, tmp_path: Path) -> Path:
    """A copy, whose base model still links to the sources beside the original."""
    root = tmp_path / "results/whole"
    shutil.copytree(home / "results/whole", root, symlinks=True)
    return root


def flip_bit(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.unlink()
    path.write_bytes(content)


def other_base_weights(root: Path) -> None:
    """Other weights under the same name, then one more variant, trained and evaluated on them."""
    weights, other = root / "models/m/model.safetensors", write_tiny_model(root.parent / "other", seed=1)
    weights.unlink()
    weights.symlink_to(other / "model.safetensors")
    record = files.read_json(root / "experiment.json")
    variant = {**record["variants"][0], "name": "longest+random", "method": "longest+random"}
    files.write_json(root / "experiment.json", record | {"variants": [*record["variants"], variant]})
    experiment = config.load(files.read_json(root / "experiment.json"))
    (cell,) = [cell for cell in grid.cells(experiment) if cell.variant == "longest+random"]
    make_cell(root, experiment, cell)
    build(root)


def negate_token_scores(root: Path) -> None:
    path = root / "scores/m/tokens.parquet"
    table = pq.read_table(path)
    values = table["nll"].combine_chunks()
    negated = pa.ListArray.from_arrays(values.offsets, pc.negate(values.values))
    files.write_parquet(path, table.set_column(table.schema.get_field_index("nll"), "nll", negated))


def change_gold(root: Path) -> None:
    path = root / "data/benchmarks/A.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["answerKey"] = row["choices"]["label"][0]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def halve_training_set(root: Path) -> None:
    path = root / "data/d.parquet"
    files.write_parquet(path, pq.read_table(path)[:12])


def edit_trained_tokens(root: Path) -> None:
    edit_json(root / f"trained/{PPL}/training.json", trained_tokens=100)


def edit_sample_passes(root: Path) -> None:
    edit_json(root / f"trained/{PPL}/training.json", sample_passes=1)


def edit_end_tokens(root: Path) -> None:
    edit_json(root / f"trained/{PPL}/training.json", end_tokens=1)
    build(root)


def edit_token_ratio(root: Path) -> None:
    edit_json(root / f"pruned/{PPL}/selection.json", realised_token_ratio=0.25)
    build(root)


def edit_sample_ratio(root: Path) -> None:
    path = root / f"pruned/{PPL}/selection.json"
    edit_json(path, realised=files.read_json(path)["realised"] | {"samples": 0.25})
    build(root)


def edit_seconds(root: Path) -> None:
    edit_json(root / f"trained/{PPL}/training.json", seconds=0.5)
    build(root)


def edit_scoring_seconds(root: Path) -> None:
    edit_json(root / "scores/m/meta.json", seconds=9000.0)


def swap(one: Path, other: Path) -> None:
    away = one.rename(one.with_name("away"))
    other.rename(one)
    away.rename(other)


def train_again(root: Path) -> None:
    """On the selections that are there; then the table."""
    experiment = config.load(files.read_json(root / "experiment.json"))
    for cell in filter(lambda cell: cell.pruned, grid.cells(experiment)):
        make_cell(root, experiment, cell, selected=True)
    build(root)


def swap_selections(root: Path) -> None:
    swap(root / f"pruned/{RANDOM}/selection.parquet", root / f"pruned/{PPL}/selection.parquet")
    train_again(root)


def swap_selection_folders(root: Path) -> None:
    swap(root / f"pruned/{RANDOM}", root / f"pruned/{PPL}")
    train_again(root)


def flip_score(cell: str, root: Path) -> None:
    """One bit of its first digit."""
    path = root / f"evaluation/m/{cell}/A.json"
    flip_bit(path, 8 * (path.read_bytes().index(b'"score": ') + len(b'"score": ')))


def flip_item(root: Path) -> None:
    path = root / "evaluation/m/zero-shot/A.parquet"
    flip_bit(path, 8 * (path.stat().st_size // 2))


def other_trained_weights(root: Path) -> None:
    path = root / f"trained/{PPL}/model/model.safetensors"
    flip_bit(path, 8 * (path.stat().st_size - 3))


def truncate_weights(root: Path) -> None:
    path = root / f"trained/{PPL}/model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def lose_selection(root: Path) -> None:
    (root / f"pruned/{PPL}/selection.parquet").unlink()


def break_record(root: Path) -> None:
    (root / f"trained/{PPL}/training.json").write_bytes(b'{"seconds": \xff')


class Situation(NamedTuple):
    damage: Callable[[Path], None]
    file: str


SITUATIONS = [
    Situation(other_base_weights, "models/m/model.safetensors"),
    Situation(negate_token_scores, "scores/m/tokens.parquet"),
    Situation(change_gold, "data/benchmarks/A.jsonl"),
    Situation(halve_training_set, "data/d.parquet"),
    Situation(edit_trained_tokens, f"trained/{PPL}/training.json"),
    Situation(edit_sample_passes, f"trained/{PPL}/training.json"),
    Situation(edit_end_tokens, f"trained/{PPL}/training.json"),
    Situation(edit_token_ratio, f"pruned/{PPL}/selection.json"),
    Situation(edit_sample_ratio, f"pruned/{PPL}/selection.json"),
    Situation(edit_seconds, f"trained/{PPL}/training.json"),
    Situation(edit_scoring_seconds, "scores/m/meta.json"),
    Situation(swap_selections, f"pruned/{PPL}/selection.parquet"),
    Situation(swap_selection_folders, f"pruned/{PPL}/selection.json"),
    Situation(lambda root: flip_score("full/seed0", root), "evaluation/m/full/seed0/A.json"),
    Situation(lambda root: flip_score("zero-shot", root), "evaluation/m/zero-shot/A.json"),
    Situation(flip_item, "evaluation/m/zero-shot/A.parquet"),
    Situation(other_trained_weights, f"trained/{PPL}/model/model.safetensors"),
    Situation(truncate_weights, f"trained/{PPL}/model/model.safetensors"),
    Situation(lose_selection, f"pruned/{PPL}/selection.parquet"),
    Situation(break_record, f"trained/{PPL}/training.json"),
]
NAMES = [getattr(situation.damage, "__name__", "") for situation in SITUATIONS]


def test_a_finished_folder_has_no_problem(root: Path) -> None:
    """4 cells x 2 benchmarks; every link has its digest."""
    verification = verify(root)
    assert verification.problems == []
    assert verification.numbers and verification.columns
    assert verification.numbers[:3] == (8, 4, 3)
    assert verification.columns[:2] == (3, 21)
    assert verification.walk.unnamed.total() == 0
    assert set(verification.walk.matched) == {
        "results",
        "evaluations",
        "trainings",
        "selections",
        "scores",
        "models",
        "data",
    }


def test_a_summary_that_another_version_wrote_anew_is_no_problem(root: Path) -> None:
    path = root / f"pruned/{PPL}/selection.json"
    edit_json(path, version="99.0")
    build(root)
    assert verify(root).problems == []
    edit_json(path, realised_token_ratio=0.25)
    build(root)
    assert {problem.where for problem in verify(root).problems} == {str(path)}


@pytest.mark.parametrize("name", ["data/d.parquet", "scores/m/tokens.parquet"])
def test_what_snakemake_does_not_miss_is_asked_for_by_name(name: str, root: Path) -> None:
    """Once all cells are finished, it makes no input of theirs again, unless it is named."""
    path = root / name
    path.write_bytes(path.read_bytes() + b" ")
    (problem,) = verify(root).problems
    assert f"rm {path}, then the same snakemake command with {path} appended" in problem.fix
    path.unlink()
    fixes = {problem.fix for problem in verify(root).problems if problem.where == str(path)}
    assert f"run the same snakemake command with {path} appended: it regenerates missing files" in fixes


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_what_was_done_to_a_folder_is_found(
    situation: Situation, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    situation.damage(root)
    with pytest.raises(SystemExit) as caught:
        main(["verify", str(root)])
    assert caught.value.code == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROBLEM ")]
    assert any(line.startswith(f"PROBLEM {root / situation.file}: ") for line in lines), lines


@pytest.mark.parametrize(
    "name", [f"pruned/{PPL}/selection.parquet", "scores/m/tokens.parquet", "scores/m/samples.parquet", "data/d.parquet"]
)
def test_every_flipped_bit_is_found(root: Path, name: str) -> None:
    draw, path, whole = random.Random(0), root / name, (root / name).read_bytes()
    experiment = an_experiment(root)
    for _ in range(40):
        flip_bit(path, draw.randrange(8 * len(whole)))
        assert [problem.where for problem in walk_folder(root, experiment, ()).problems] == [str(path)]
        path.write_bytes(whole)


@pytest.mark.slow
def test_a_flipped_bit_of_any_file_is_found(root: Path) -> None:
    """But for those of the cache, which no number is made of."""
    draw, paths = random.Random(0), [path for path in sorted(root.rglob("*")) if path.is_file()]
    for path in draw.choices([path for path in paths if not path.is_symlink() and "cache" not in path.parts], k=60):
        whole, facts = path.read_bytes(), path.stat()
        bit = draw.randrange(8 * len(whole))
        flip_bit(path, bit)
        try:
            problems: Sequence[object] = verify(root).problems
        except PrunegridError as error:  # the experiment itself
            problems = [error]
        assert any(str(path) in str(problem) for problem in problems), (path, bit)
        path.write_bytes(whole)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def forge(root: Path) -> None:
    """All items of a cell right, and every digest and number after them."""
    path = root / f"evaluation/{PPL}/A.parquet"
    table = pq.read_table(path)
    ones = pa.array(np.ones(len(table)))
    files.write_parquet(path, table.set_column(table.schema.get_field_index("value"), "value", ones))
    edit_json(path.with_suffix(".json"), score=100.0, items_hash=files.sha256(path))
    build(root)


def test_forged_items_are_found_when_they_are_asked_again(root: Path) -> None:
    forge(root)
    assert verify(root).problems == []
    verification = verify(root, items=1000)
    places = {problem.where.partition(": ")[0] for problem in verification.problems}
    assert places == {str(root / f"evaluation/{PPL}/A.parquet")}
    assert "value is 1; re-evaluation gives 0" in verification.problems[0].what
    assert verification.recheck and verification.recheck[1:3] == (4 * (4 + 3), 4)


def test_items_asked_again_are_alike_and_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / f"trained/{PPL}/model")
    main(["verify", str(root), "--again", "1000", "--seed", "8"])
    said = capsys.readouterr().out
    assert "items re-evaluated: 21, from 3 models, all with matching answers (--seed 8)" in said
    assert "items that cannot be re-evaluated, because their weights were deleted: 7" in said
    assert "models whose weights were deleted: 1" in said
    main(["verify", str(root), "--again", "1000", "--seed", "8", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["asked_again"] == {"items": 21, "models": 3, "seed": 8}
    assert (found["problems"], found["deleted"]) == ([], [PPL])


def test_trace_of_a_folder_says_to_verify_it(root: Path) -> None:
    with pytest.raises(SystemExit, match=f"trace {root}: no cell is given; .*`prunegrid verify {root}`"):
        main(["trace", str(root)])


def test_a_seed_draws_the_same_items(root: Path) -> None:
    forge(root)
    found = [[problem.where for problem in verify(root, items=9, seed=seed).problems] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_other_weights_are_not_asked(root: Path) -> None:
    other_trained_weights(root)
    verification = verify(root, items=1000)
    assert {problem.where for problem in verification.problems} == {
        str(root / f"trained/{PPL}/model/model.safetensors")
    }


def test_large_weights_are_hashed_if_newer_or_deep(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one size with what is recorded, and as old: only `--deep` finds other weights."""
    monkeypatch.setattr("prunegrid.verification.hashes.LARGE", 1000)
    path = root / f"trained/{PPL}/model/model.safetensors"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    other_trained_weights(root)
    assert [problem.where for problem in verify(root).problems] == [str(path)], "it is newer than its record"
    os.utime(path, ns=times)
    verification = verify(root)
    assert (verification.problems, len(verification.walk.hashes.unread)) == ([], 4)
    assert [problem.where for problem in verify(root, deep=True).problems] == [str(path)]


def test_a_folder_is_named_as_the_user_names_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parents[1])
    assert verify(Path("results/whole")).problems == []
    monkeypatch.chdir(root)
    other_trained_weights(Path())
    assert [problem.where for problem in verify(Path()).problems] == [f"trained/{PPL}/model/model.safetensors"]


def test_links_without_a_digest_are_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As version 0.1 left them: no record of the results, no `inputs`, no `sha256`."""
    (root / "results.json").unlink()
    for path in root.glob("*/**/*.json"):
        content = files.read_json(path)
        if {"inputs", "sha256"} & content.keys():
            files.write_json(path, {key: value for key, value in content.items() if key not in ("inputs", "sha256")})
    main(["verify", str(root)])
    said = capsys.readouterr().out
    assert "not checked: links without a digest, from an older version: 14 (" in said
    assert "trainings of evaluations 6, scores of trainings 3, scores of selections 2, scores 1" in said


def test_a_changed_source_is_found_and_a_missing_one_is_said(home: Path, root: Path) -> None:
    source = home / "rows.jsonl"
    text = source.read_text()
    try:
        source.write_text(text.replace("milk", "beer", 1))
        assert [problem.where for problem in verify(root).problems] == [str(source)]
        source.unlink()
        verification = verify(root)
        assert (verification.problems, verification.walk.elsewhere) == ([], [str(source)])
    finally:
        source.write_text(text)


def test_an_older_table_is_told_to_be_written_again(root: Path) -> None:
    """The evaluation is right, but the results were made from another one."""
    path = root / f"evaluation/{PPL}/A.json"
    edit_json(path, seconds=9.0)
    (problem,) = verify(root).problems
    assert problem.where == str(path)
    assert f"prunegrid table {root}" in problem.fix
