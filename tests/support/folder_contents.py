"""All that a folder holds, packed or not, as one text: what may be published is looked for in it."""

import base64
import gzip
import json
import re
from pathlib import Path

import pyarrow.parquet as pq

BLOCK = re.compile(r">\s*(H4sI[A-Za-z0-9+/=]+)\s*<")  # base64 of a gzip header


def unpacked_html(html: str) -> str:
    """HTML, and what is packed in it."""
    blocks = [gzip.decompress(base64.b64decode(block)).decode("utf-8", "replace") for block in BLOCK.findall(html)]
    assert blocks or not html, "a page has packed data"
    return "\n".join([html, *blocks])


def contents(folder: Path) -> str:
    """All that a folder holds, packed or not, as one text."""
    texts = []
    for path in filter(Path.is_file, folder.rglob("*")):
        if path.suffix == ".parquet":
            texts.append(json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str))
        else:
            texts.append(unpacked_html(path.read_text()) if path.name == "report.html" else path.read_text())
    return "\n".join(texts)
