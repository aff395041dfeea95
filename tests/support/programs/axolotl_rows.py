"""Print the rows that axolotl trains on, in its own environment: `axolotl_rows.py CONFIG.yaml ROWS.json`."""

import json
import sys
from pathlib import Path

from axolotl.cli.config import load_cfg
from axolotl.loaders import load_tokenizer
from axolotl.utils.data import prepare_datasets

if __name__ == "__main__":  # its workers import this file
    config = load_cfg(sys.argv[1])
    rows = prepare_datasets(config, load_tokenizer(config))[0]
    written = [{name: list(row[name]) for name in ("input_ids", "labels")} for row in rows]
    Path(sys.argv[2]).write_text(json.dumps(written))
