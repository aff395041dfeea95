"""Run the steps of the Dockerfile or of the Apptainer definition in a plain Debian root, where no engine is.

    python tests/support/programs/container_steps.py build/container --target cpu
    python tests/support/programs/container_steps.py build/container --target definition

The root is made by debootstrap (of Debian 12, with its Python 3.11) unless it is there. All stages share it, so copies
between stages are no work. Then `prunegrid` runs in it as the image's user. Needs root, debootstrap and a network.
`--share PATH` copies a folder of this machine, `--env NAME=VALUE` is set in every step, `--build-arg NAME=VALUE` is as
Docker's: for a machine that reaches an index in its own way.
"""

import argparse
import json
import os
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[3]
DOCKERFILE, DEFINITION = PROJECT / "Dockerfile", PROJECT / "containers/prunegrid.def"
PACKAGES = "ca-certificates,python3,python3-venv"
SUITE = "bookworm"


class Instruction(NamedTuple):
    name: str
    value: str


class Stage(NamedTuple):
    base: str
    instructions: list[Instruction]


def read_dockerfile(text: str) -> dict[str, Stage]:
    """The stages by name; instructions before the first one belong to "" ."""
    stages, name = {"": Stage("", [])}, ""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", text))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, value = line.partition(" ")
        if word == "FROM":
            base, _, name = value.partition(" AS ")
            stages[name] = Stage(base, [])
        else:
            stages[name].instructions.append(Instruction(word, value.strip()))
    return stages


def chain(stages: dict[str, Stage], target: str) -> list[Stage]:
    """The stages that a target is made of, the first one first."""
    base = stages[target].base
    return [*(chain(stages, base) if base in stages else []), stages[target]]


def read_definition(text: str) -> dict[str, str]:
    """The sections by name, without the header and comments."""
    parts = re.split(r"(?m)^%(\w+)\n", re.sub(r"(?m)^\s*#.*\n", "", text))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def context(ignore: str) -> list[str]:
    """What a .dockerignore of `*` and exceptions leaves."""
    lines = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "everything is left out, but for the exceptions"
    return [line[1:] for line in lines if line.startswith("!")]


class Root:
    """A root folder in which steps run, with the environment and the user that they have set."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.place, self.user = folder, "/", "0"
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", **environment}

    def inside(self, path: str) -> Path:
        return self.folder / os.path.normpath(f"{'' if path.startswith('/') else self.place}/{path}").lstrip("/")

    def run(self, *command: str) -> None:
        print("+", command[-1], flush=True)
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        chroot = ["chroot", f"--userspec={self.user}:{self.user}", str(self.folder), "/usr/bin/env", "-i", *settings]
        subprocess.run([*chroot, "sh", "-c", 'cd "$0" && exec "$@"', self.place, *command], check=True)

    def copy(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / source.name if target.is_dir() else target)

    def follow(self, instruction: Instruction, arguments: dict[str, str]) -> None:
        """Do what an instruction of a Dockerfile says."""
        name, value = instruction
        known = self.environment | arguments
        if name == "RUN":
            self.run("sh", "-c", "".join(f"export {key}='{text}'; " for key, text in arguments.items()) + value)
        elif name == "ENV":
            pairs = (pair.partition("=") for pair in value.split())
            self.environment |= {key: string.Template(text).safe_substitute(known) for key, _, text in pairs}
        elif name == "ARG":
            key, _, default = value.partition("=")
            arguments.setdefault(key, default)
        elif name == "WORKDIR":
            self.place = value
            self.inside(".").mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            self.user = value
        elif name == "COPY" and not value.startswith("--from="):
            self.copy_context(*value.split())

    def copy_context(self, source: str, target: str) -> None:
        """Copy from the build's context; a target that ends in a slash is a folder."""
        allowed, place = context((PROJECT / ".dockerignore").read_text()), self.inside(target)
        assert source == "." or source in allowed, f"{source} is not in the build's context"
        for file in allowed if source == "." else []:
            self.copy(PROJECT / file, place / file)
        if source != ".":
            self.copy(PROJECT / source, place / Path(source).name if target.endswith("/") else place)


def stages_in_order(stages: dict[str, Stage], target: str) -> Iterator[Stage]:
    """The target's stages, those that it copies from before them."""
    for stage in chain(stages, target):
        for name, value in stage.instructions:
            if name == "COPY" and value.startswith("--from="):
                yield from stages_in_order(stages, value.split()[0].removeprefix("--from="))
    yield from chain(stages, target)


def build_image(root: Root, target: str, given: dict[str, str]) -> list[str]:
    """Run the target's steps with the arguments that are given; return its entry point."""
    stages, entry = read_dockerfile(DOCKERFILE.read_text()), [""]
    for stage in stages_in_order(stages, target):
        root.user, root.place, arguments = "0", root.place if stage.base in stages else "/", dict(given)
        for instruction in stage.instructions:
            root.follow(instruction, arguments)
            entry = json.loads(instruction.value) if instruction.name == "ENTRYPOINT" else entry
    return entry


def build_definition(root: Root, given: dict[str, str]) -> list[str]:
    """Run the definition's steps; return how its run script begins."""
    sections = read_definition(DEFINITION.read_text())
    for line in filter(None, map(str.strip, sections["files"].splitlines())):
        source, target = line.split()
        root.copy(PROJECT / source, root.inside(target))
    script = sections["post"]
    for line in filter(None, map(str.strip, sections["arguments"].splitlines())):
        name, _, value = line.partition("=")
        script = script.replace(f"{{{{ {name} }}}}", given.get(name, value))
    root.run("sh", "-c", script)
    root.run("sh", "-c", sections["test"])
    root.environment["PATH"] = f"/opt/prunegrid/bin:{root.environment['PATH']}"
    root.user = "1000"
    return ["prunegrid"]


def make_root(folder: Path, shares: list[Path]) -> None:
    """A minimal Debian, if the folder is not there; the machine's certificates and name servers; the shared folders."""
    if not (folder / "usr/bin/python3").exists():
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for file in (Path("/etc/resolv.conf"), Path("/etc/ssl/certs/ca-certificates.crt")):
        shutil.copy2(file, folder / file.relative_to("/"))
    for share in shares:
        target = folder / share.relative_to("/")
        shutil.copytree(share, target, dirs_exist_ok=True)


def pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--target", default="cpu", help="of the Dockerfile, or `definition`")
    parser.add_argument("--share", type=Path, action="append", default=[], metavar="PATH")
    parser.add_argument("--env", type=pair, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--build-arg", type=pair, action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        sys.exit("container_steps: needs root and debootstrap")
    make_root(options.root, options.share)
    root, given = Root(options.root.resolve(), dict(options.env)), dict(options.build_arg)
    processes = root.folder / "proc"
    subprocess.run(["mount", "-t", "proc", "proc", str(processes)], check=True)
    try:
        is_definition = options.target == "definition"
        entry = build_definition(root, given) if is_definition else build_image(root, options.target, given)
        root.place, root.environment["HOME"] = "/tmp", "/tmp"
        root.run(*entry, "--version")
        root.run(*entry, "doctor")
        root.run("snakemake", "--version")
        root.run("sh", "-c", "! ls -d /root/.cache /home/prunegrid/.cache 2>/dev/null")  # nothing useless
    finally:
        subprocess.run(["umount", str(processes)], check=True)


if __name__ == "__main__":
    main()
