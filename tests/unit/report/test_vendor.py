"""The libraries in the page are those that `SHA256SUMS` names, and nothing else lies beside them."""

import hashlib

from prunegrid.report.page import ROOM


def test_vendored_files_are_those_of_their_sums() -> None:
    folder = ROOM / "vendor"
    sums = dict(reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert {*sums} | {"SHA256SUMS", "README.md"} == {path.name for path in folder.iterdir()}
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sums} == sums
