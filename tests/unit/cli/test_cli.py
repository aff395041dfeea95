"""The `prunegrid` command on one's own model and data, and the lines that bad input gets."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.cli import app
from prunegrid.models import load_tokenizer
from prunegrid.scoring.reader import ScoresFolder
from support.errors import refused
from support.tiny_llama import TEMPLATE, write_tiny_model

PRUNE = ["--samples", "0.25", "--tokens", "0.5", "--seed", "0", "--json"]


@contextmanager
def refused_by_command(where: object, *values: object, fix: str | None = None) -> Iterator[None]:
    """The command in the block exits with 1 (a `str` exit code is printed and means 1), for an error as `refused`."""
    with pytest.raises(SystemExit) as caught:
        yield
    assert isinstance(caught.value.code, str) and len(caught.value.code.splitlines()) == 1
    with refused(where, *values, fix=fix):
        raise caught.value.__context__ or caught.value


def fails(*arguments: str) -> str:
    """The line of a command that must exit with code 1."""
    with pytest.raises(SystemExit) as caught:
        app.main(arguments)
    assert isinstance(caught.value.code, str) and len(caught.value.code.splitlines()) == 1
    return caught.value.code


def test_score_then_prune_on_own_data(tmp_path: Path, tiny_model: Path, capsys: Any) -> None:
    rows = [{"prompt": f"What is {i} + 1?", "response": f"{i} + 1 = {i + 1}."} for i in range(12)]
    data = tmp_path / "mine.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores, out = str(tmp_path / "scores"), tmp_path / "pruned"
    app.main(["score", "--model", str(tiny_model), "--data", str(data), "--out", scores, "--threads", "1", "--json"])
    assert json.loads(capsys.readouterr().out)["samples"] == 12
    assert load_tokenizer(ScoresFolder(Path(scores)).tokenizer_dir()).chat_template == TEMPLATE
    assert ScoresFolder(Path(scores)).data_file() == Path(scores, "data.parquet")
    app.main(["prune", "--scores", scores, "--pair", "qtuning", *PRUNE, "--out", str(out), "--model", str(tiny_model)])
    ours = json.loads(capsys.readouterr().out)
    assert ours["n_kept_samples"] == len(pq.read_table(out / "selection.parquet")) == 3
    for match in (out, out / "selection.json"):
        control = ["prune", "--scores", scores, "--pair", "random+random", *PRUNE, "--match", str(match)]
        app.main([*control, "--out", str(tmp_path / "control")])
        assert json.loads(capsys.readouterr().out)["kept_tokens"] == ours["kept_tokens"]


def test_score_drops_duplicates_if_asked(tmp_path: Path, tiny_model: Path, capsys: Any) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text('{"prompt": "q", "response": "a"}\n' * 3 + '{"prompt": "q", "response": "b"}\n')
    score = ["score", "--model", str(tiny_model), "--data", str(data), "--threads", "1"]
    app.main([*score, "--out", str(tmp_path / "all")])
    assert "duplicates: 2 (--drop-duplicates" in "".join(capsys.readouterr())
    app.main([*score, "--out", str(tmp_path / "distinct"), "--drop-duplicates"])
    assert len(pq.read_table(tmp_path / "distinct/samples.parquet")) == 2


def test_an_optional_score_serves_its_pruner(tmp_path: Path, tiny_model: Path, capsys: Any) -> None:
    data, scores = tmp_path / "mine.jsonl", tmp_path / "scores"
    data.write_text("".join(json.dumps({"prompt": f"{i}?", "response": f"{i}."}) + "\n" for i in range(12)))
    score = ["score", "--model", str(tiny_model), "--data", str(data), "--out", str(scores), "--threads", "1"]
    prune = ["prune", "--scores", str(scores), "--pair", "ifd+ppl", *PRUNE, "--out", str(tmp_path / "o")]
    extra = ["extra", "ifd", "--model", str(tiny_model), "--scores", str(scores), "--threads", "1"]
    app.main(score)
    assert "ifd" in fails(*prune)
    app.main(extra)
    app.main(prune)
    message = fails("extra", "reference_nll", "--model", str(tiny_model), "--scores", str(scores))
    assert "reference_nll" in message


def test_prune_takes_options(tmp_path: Path, scores: Path, capsys: Any) -> None:
    arguments = ["prune", "--scores", str(scores), "--pair", "qtuning", *PRUNE, "--out", str(tmp_path / "o")]
    app.main([*arguments, "--option", "neighbor_lambda=0", "--option", "surplus=keep"])
    summary = json.loads(capsys.readouterr().out)
    assert summary["options"]["neighbor_lambda"] == 0
    assert summary["options"]["surplus"] == "keep"
    with refused_by_command("--option neighbor_lambda", "NAME=VALUE", fix="neighbor_lambda=0"):
        app.main([*arguments, "--option", "neighbor_lambda"])
    assert "'lamda'" in fails(*arguments, "--option", "lamda=0")


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, scores: Path, tiny_model: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    base = ["prune", "--scores", str(scores), "--out", str(out)]
    bad_ratio = ["--pair", "qtuning", "--sample-ratio", "1.5", "--token-ratio", "0.5"]
    assert "1.5" in fails(*base, *bad_ratio)
    assert "pppl" in fails(*base, "--pair", "random+pppl", *PRUNE)
    other = write_tiny_model(tmp_path / "other", seed=1)
    message = fails(*base, "--pair", "random+ppl", *PRUNE, "--model", str(other))
    assert "another model" in message
    no_response = tmp_path / "no_response.jsonl"
    no_response.write_text('{"prompt": "q", "reply": "a"}\n')
    message = fails("score", "--model", str(tiny_model), "--data", str(no_response), "--out", str(out))
    assert "prompt, reply" in message
    good = tmp_path / "good.jsonl"
    good.write_text('{"prompt": "q", "response": "a"}\n')
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with refused_by_command(mine, "thesis.txt", fix="--out"):
        app.main(["score", "--model", str(tiny_model), "--data", str(good), "--out", str(mine)])
    assert (mine / "thesis.txt").read_text() == "mine"
    bare = write_tiny_model(tmp_path / "bare", template=None)
    message = fails("score", "--model", str(bare), "--data", str(good), "--out", str(out))
    assert str(bare) in message
    message = fails("score", "--model", str(tmp_path), "--data", str(good), "--out", str(out))
    assert ".safetensors" in message
    assert "has no experiment.json" in fails("table", str(tmp_path))
    assert not out.exists()


def test_scores_with_extra_scores_are_not_replaced(tmp_path: Path, scores: Path, tiny_model: Path, capsys: Any) -> None:
    copy = Path(shutil.copytree(scores, tmp_path / "scores"))
    (copy / "extra").mkdir()
    (copy / "extra" / "mine.parquet").write_text("mine")
    data = tmp_path / "mine.jsonl"
    data.write_text('{"prompt": "q", "response": "a"}\n')
    command = ["score", "--model", str(tiny_model), "--data", str(data), "--out", str(copy), "--threads", "1", "--json"]
    with refused_by_command(copy, "extra/", fix="--out"):
        app.main(command)
    assert (copy / "extra" / "mine.parquet").read_text() == "mine"
    shutil.rmtree(copy / "extra")
    app.main(command)
    assert json.loads(capsys.readouterr().out)["samples"] == 1


def test_truncated_scores_are_named(tmp_path: Path, scores: Path, capsys: Any) -> None:
    copy = Path(shutil.copytree(scores, tmp_path / "scores"))
    file = copy / "tokens.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    message = fails("prune", "--scores", str(copy), "--pair", "random+ppl", *PRUNE, "--out", str(tmp_path / "o"))
    assert f"{file}: its SHA-256 is" in message
    assert not (tmp_path / "o").exists()


def test_the_command_is_installed_and_exits_with_1() -> None:
    command = Path(sys.executable).parent / "prunegrid"
    run = subprocess.run([command, "table", "nowhere"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("prunegrid table: nowhere: has no experiment.json")


def test_merge_writes_an_ordinary_model(tmp_path: Path, tiny_model: Path, capsys: Any) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).eval()
    adapted.save_pretrained(str(tmp_path / "adapter"))
    out = str(tmp_path / "merged")
    line = ["merge", "--model", str(tiny_model), "--out", out]
    assert "holds no adapter" in fails(*line, "--adapter", str(tiny_model))
    app.main([*line, "--adapter", str(tmp_path / "adapter")])
    ids = torch.arange(20)[None]
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(out)(ids).logits
        assert torch.allclose(merged, adapted(ids).logits, atol=1e-4)
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert "already exists" in fails(*line, "--adapter", str(tmp_path / "adapter"))
