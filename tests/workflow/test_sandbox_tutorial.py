"""docs/tutorials/sandbox.md: its folder, its two rows, and the jobs that it shows, from a dry run of its command."""

import re
import subprocess
from pathlib import Path

import yaml

from prunegrid.cli.app import main
from support.docs import code_blocks
from support.snakemake_runs import ROOT, environment

PAGE = "docs/tutorials/sandbox.md"


def test_two_rows_need_the_jobs_that_the_page_shows(tmp_path: Path) -> None:
    install, dry_run = code_blocks(PAGE, "sh")[1:3]
    rows = code_blocks(PAGE, "yaml")[0]
    assert install.splitlines() == ["prunegrid init my-grid", "cd my-grid"]
    main(["init", str(tmp_path / "my-grid")])
    config = yaml.safe_load((tmp_path / "my-grid/config.yaml").read_text())
    assert f"Its {len(config['variants'])} `variants`" in (ROOT / PAGE).read_text()
    (tmp_path / "my-grid/config.yaml").write_text(yaml.safe_dump(config | yaml.safe_load(rows)))
    command = ["bash", "-euc", f"cd my-grid; {dry_run}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = jobs((ROOT / PAGE).read_text().partition(dry_run)[2].partition("## 3.")[0])
    assert jobs(done.stdout) == shown and shown["total"] == 25


def jobs(text: str) -> dict[str, int]:
    """Rules with their number of jobs, as Snakemake prints them."""
    return {name: int(count) for name, count in re.findall(r"^ *([a-z_]+) +(\d+)$", text, re.MULTILINE)}
