"""The report page of a paper-size grid, with made-up answers: seconds to build and to open it, and its size.

    python benchmarks/report.py [--seeds 3] [--share 1] [--keep FOLDER]
    python benchmarks/report.py --results results/sandbox

The grid is that of `simulated/folder.py`: 104 cells a seed, five benchmarks of their full size (or `--share` of it).
`report` is the process `prunegrid report`; it collects the table first, so `table` is a process `prunegrid table` to
compare with. Both are in CPU seconds: what you wait on an idle machine. Where Debian's Chromium is installed, each page
is opened from its file five times, with nothing cached: median and fastest of the seconds until the table is drawn,
until the items of two rows are, and until the link of an item shows its answers; and CPU seconds of the page's process.
`--keep` leaves the made-up folder there; `--results` measures a finished one. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prunegrid.experiment import grid
from prunegrid.experiment.locate import read_folder
from simulated.folder import write_grid

OPENINGS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1, help="of the benchmarks' items")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the grid there, and leave it")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="a finished folder, instead of a made-up one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.results or options.keep or Path(temporary, "grid")
        if not options.results and not (root / "experiment.json").exists():
            start = time.perf_counter()
            write_grid(root, options.seeds, options.share)
            print(f"made the grid in {time.perf_counter() - start:.0f} s", flush=True)
        measured = measure(root, Path(temporary, "page", "report.html"))
    print(json.dumps({"benchmark": "report"} | measured))


def measure(root: Path, page: Path) -> dict[str, Any]:
    """Build the folder's page, and open it."""
    seconds, megabytes = process("report", str(root), "--out", str(page))
    table, _ = process("table", str(root))
    print(f"built in {seconds:.1f} CPU s ({megabytes} MB of memory); the table alone takes {table:.1f}", flush=True)
    beside = sorted(page.parent.glob("*-items/*.html"))
    sizes = {"page": page.stat().st_size, "beside": sum(file.stat().st_size for file in beside)}
    print(
        f"page {sizes['page'] / 1e6:.1f} MB, {len(beside)} pages beside it {sizes['beside'] / 1e6:.1f} MB", flush=True
    )
    experiment = read_folder(root)
    largest = list(experiment.evaluation.benchmarks)[-1]
    address = f"#items?model={next(iter(experiment.models))}&benchmark={largest}"
    own = next((file for file in beside if largest in file.name), page)
    places = {
        "table": (page, "", "#view-table[data-ready]"),
        "items": (page, address, "#view-items[data-ready] a.item"),
        "item": (own, f"{address}&item=7", "#view-items article .item-side-a"),
    }
    opened = open_pages(places) if shutil.which("chromium") else {}
    for name, (median, fastest, cpu) in opened.items():
        file = f"{places[name][0].name}, {places[name][0].stat().st_size / 1e6:.1f} MB"
        print(f"{name:6} {median:5.2f} s until it is drawn, fastest {fastest:.2f}, CPU {cpu:.2f} ({file})")
    built: dict[str, Any] = {"report_cpu_s": round(seconds, 1), "table_cpu_s": round(table, 1), "report_mb": megabytes}
    built["cells"] = len(grid.cells(experiment))
    return built | {"pages_beside": len(beside), "bytes": sizes, "opening_s": opened}


def process(*arguments: str) -> tuple[float, int]:
    """CPU seconds and peak memory (MB) of a command of prunegrid."""
    command = [sys.executable, "-m", "prunegrid.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, round(usage.ru_maxrss / 1024)


def open_pages(places: dict[str, tuple[Path, str, str]]) -> dict[str, list[float]]:
    """By name, seconds from the address (file and fragment) until the selector is there: median, fastest, CPU."""
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # which Chromium refuses to have as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        result = {}
        for name, (file, address, selector) in places.items():
            opened = [open_page(browser, file.resolve().as_uri() + address, selector) for _ in range(OPENINGS)]
            seconds, cpu = zip(*opened, strict=True)
            result[name] = [
                round(each, 2) for each in (statistics.median(seconds), min(seconds), statistics.median(cpu))
            ]
        browser.close()
    return result


def open_page(browser: Any, address: str, selector: str) -> tuple[float, float]:
    """Seconds, and CPU seconds of the page's process, in a window of its own."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(selector, timeout=120_000)
    seconds = time.perf_counter() - start
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    context.close()
    return seconds, float(metrics["ProcessTime"])


if __name__ == "__main__":
    main()
