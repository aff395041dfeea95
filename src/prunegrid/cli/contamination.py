"""Search training data for the items of benchmarks."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from prunegrid.cli.arguments import add_data_arguments, dataset_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    items = "files of items, or data sets on the hub (split test)"
    parser.add_argument("data", help="file, folder or glob (JSON, CSV, Parquet, ...), or a data set on the hub")
    parser.add_argument("--against", nargs="+", required=True, metavar="FILE", help=items)
    parser.add_argument("--json", action="store_true", help="print the counts and items as JSON instead of sentences")
    add_data_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.core.files import read_json
    from prunegrid.data import contamination
    from prunegrid.data.counts import intake_lines
    from prunegrid.data.datasets import write_dataset
    from prunegrid.experiment import layout

    benchmarks = {name: contamination.Benchmark(_items(name)) for name in options.against}
    with tempfile.TemporaryDirectory(prefix="prunegrid-") as folder:
        data, counts = Path(folder, layout.DATA), Path(folder, layout.DATA_COUNTS)
        write_dataset(*dataset_from(options), data, counts)
        print("\n".join(intake_lines(read_json(counts))), file=sys.stderr, flush=True)
        record = contamination.find_contamination(benchmarks, contamination.read_samples(data))
    print(json.dumps(record, indent=1, ensure_ascii=False) if options.json else "\n".join(_lines(record)))


def _items(name: str) -> Any:
    """The rows of a file or of a hub's data set."""
    from prunegrid.data.contamination import without_examples
    from prunegrid.data.place import place
    from prunegrid.data.rows import stream_rows
    from prunegrid.experiment.dataset import DataRef

    hub, local = place(name)
    ref = DataRef(hub=hub, split="test") if hub else DataRef(path=local)
    return without_examples(row.values for row in stream_rows(ref, local))


def _lines(record: dict[str, Any]) -> list[str]:
    from prunegrid.data.contamination import contamination_sentence

    lines = [contamination_sentence(record)]
    for name, report in record["benchmarks"].items():
        for item in report["named"]:
            samples = ", ".join(map(str, item["sample_ids"]))
            lines.append(f"{name}: row {item['row']}, {item['share']:.0%}, sample_id {samples}: {item['words']}")
    return lines
