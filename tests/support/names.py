"""Count names without meaning, function words (`at`, `own`) and bare participles (`found`), in the package.

    python tests/support/names.py [DIR] [--list]

Every assigned name and every parameter counts. Functions, classes, modules and constants are listed separately.
"""

import argparse
import ast
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Prepositions, adverbs, pronouns, determiners, conjunctions and auxiliary verbs. Left out, because they are nouns or
# conventional argument names: `out`, `other`, `whole`, `rest`, `self`, `first`, `last`, `end`, `right`, `done`.
FUNCTION_WORDS = words("""
    about above across after again against ahead alike alone along already also although always among and anew apart
    are around as at away back be because been before behind below beneath beside besides between beyond but by did
    does down either else elsewhere except far for from had has have here his how however if in inside instead into is
    it its itself like may mine must near neither never no nor not now of off often on once one ones onto or otherwise
    our ours outside over own per should since so soon still such than that the their theirs them then there these
    they this those though through throughout to together too toward towards twice under unless unlike until up upto
    very was we were what whatever when where whether which while who whose why will with within without
""")
PARTICIPLES = words("asked found lacking left said told wanted")

# Weaker cases: quantities, and participles that need a noun. Left out: the field's own words, such as `cached`,
# `drawn`, `expected`, `failed`, `filtered`, `learned`, `measured`, `missing`, `padded`, `pruned`, `selected`.
WEAKER = words("""
    all any anything both each enough every everything few fewer least less many more most much none nothing others
    same several some something asking carried chosen compared differing ended gathered given gone handed held judged
    kept known lacks listed made marked meant meeting met named needed noted planned printed put seen shown spent
    started stated taken took tried written
""")
STRICT = FUNCTION_WORDS | PARTICIPLES
BROAD = STRICT | WEAKER
# Usual at the beginning of a name: `is_adapter`, `from_table`, `NO_ANSWER`.
PREFIXES = words("as from has is may must no on to with without")


class Name(NamedTuple):
    """One definition: `kind` is "assigned", "function", "class", "module" or "constant"."""

    text: str
    kind: str
    path: Path
    line: int

    @property
    def label(self) -> str:
        return "broad" if self.kind == "assigned" and self.text not in STRICT else self.kind

    @property
    def is_weak(self) -> bool:
        """Whether a definition's name is, or begins with, a function word: `of`, `of_all`, `at_once`."""
        word = self.text.strip("_").lower()
        return word in STRICT or word.partition("_")[0] in FUNCTION_WORDS - PREFIXES


def names_in_file(path: Path) -> Iterator[Name]:
    yield Name(path.parent.name if path.stem == "__init__" else path.stem, "module", path, 1)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(ctx=ast.Store()):
                yield Name(node.id, "assigned", path, node.lineno)
                if node.id.isupper() and len(node.id) > 1:
                    yield Name(node.id, "constant", path, node.lineno)
            case ast.arg():
                yield Name(node.arg, "assigned", path, node.lineno)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield Name(node.name, "class" if isinstance(node, ast.ClassDef) else "function", path, node.lineno)


def names_in_folder(root: Path) -> list[Name]:
    return [name for path in sorted(root.rglob("*.py")) for name in names_in_file(path)]


def weak_names(names: list[Name], words: frozenset[str] = STRICT) -> Counter[str]:
    """How often each of `words` is assigned."""
    return Counter(name.text for name in names if name.kind == "assigned" and name.text in words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, default=Path("src/prunegrid"))
    parser.add_argument("--list", action="store_true", help="every name with its file and line")
    arguments = parser.parse_args()
    names = names_in_folder(arguments.root)
    total = sum(name.kind == "assigned" for name in names)
    for label, listed in ("strict", STRICT), ("broad", BROAD):
        counts = weak_names(names, listed)
        top = ", ".join(f"{word} {count}" for word, count in counts.most_common(12))
        print(f"{label}: {counts.total()} of {total} assigned names ({counts.total() / max(total, 1):.2%}): {top}")
    rooms: dict[str, list[Name]] = {}
    for name in names:
        if name.text in BROAD if name.kind == "assigned" else name.is_weak:
            folder, _, rest = name.path.relative_to(arguments.root).as_posix().partition("/")
            rooms.setdefault(folder if rest else ".", []).append(name)
    for room, members in [("all", [*chain(*rooms.values())]), *sorted(rooms.items())]:
        kinds = Counter(name.label for name in members)
        print(f"{room}:", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
        for name in members if arguments.list and room != "all" else ():
            print(f"  {name.path}:{name.line}: {name.text} ({name.label})")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `names.py | head` ends without an error
    main()
