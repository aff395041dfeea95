"""training.deterministic: the same weights in every run and after a kill; an operation without such a kernel."""

from pathlib import Path

import pytest
import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.training import worker
from support.killed_jobs import Inputs, assert_same, checkpoint_steps, inject_failure, run


@pytest.fixture(autouse=True)
def started_warm(warm: None) -> None:
    pass


@pytest.mark.parametrize("dynamic", [False, True])
def test_killed_deterministic_job_ends_with_the_same_weights(
    dynamic: bool, tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"deterministic": True, "dynamic": dynamic}
    report = run(tmp_path / "whole", inputs, **settings)
    assert report["training"]["deterministic"] is True
    inject_failure(monkeypatch, "killed before", step=4)
    with pytest.raises(PrunegridError, match="SIGKILL"):
        run(tmp_path / "killed", inputs, **settings)
    assert checkpoint_steps(tmp_path / "killed") == [2]
    inject_failure(monkeypatch)
    assert run(tmp_path / "killed", inputs, **settings)["resumed"] == [2]
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_missing_deterministic_kernel_is_an_error(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject_failure(monkeypatch, "no deterministic kernel", step=2)
    with pytest.raises(PrunegridError, match=r"\(.*put_") as caught:
        run(tmp_path / "on", inputs, deterministic=True)
    assert caught.value.where.startswith("step 2") and "training.deterministic" in caught.value.fix
    report = run(tmp_path / "off", inputs)
    assert report["steps"] == 6 and "deterministic" not in report["training"]


def test_deterministic_setting_reaches_torch() -> None:
    cudnn, fill = torch.backends.cudnn, torch.utils.deterministic
    before = cudnn.deterministic, cudnn.benchmark, fill.fill_uninitialized_memory
    try:
        worker.use_deterministic_kernels()
        assert (
            torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
        )
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    finally:
        torch.use_deterministic_algorithms(False)
        cudnn.deterministic, cudnn.benchmark, fill.fill_uninitialized_memory = before
