"""The `prunegrid` command: the workflow's steps on your own model and data.

prunegrid keep FILE --model DIR --pair qtuning --samples 12.5% --tokens 50% --to trl --out DIR
prunegrid score --model DIR --data FILE --out DIR
prunegrid extra ifd --model DIR --scores DIR
prunegrid suggest DIR --detect 2 --items 850,1319
prunegrid prune --scores DIR --pair qtuning --samples 12.5% --tokens 50% --seed 0 --out pruned
prunegrid choose --scores DIR --pair qtuning --samples 12.5% --tokens 50% --out pruned
prunegrid cut pruned --shard 1/8
prunegrid show pruned
prunegrid overlap results/sandbox
prunegrid export pruned --to trl --out train
prunegrid merge --model DIR --adapter DIR --out DIR
prunegrid table results/sandbox --against full
prunegrid report results/sandbox
prunegrid verify results/sandbox
prunegrid redact results/mine --out published/mine
prunegrid trace results/sandbox CELL BENCHMARK
prunegrid figures results/sandbox
prunegrid ladder results/ladder
prunegrid compare results/sandbox --model sandbox-1M=LLaMA2-7B
prunegrid stats out/a out/b --metric acc
prunegrid init my-grid
prunegrid doctor experiments/paper.yaml
prunegrid status experiments/paper.yaml
prunegrid clean results/sandbox
prunegrid plan experiments/paper.yaml
prunegrid contamination train.jsonl --against test.jsonl

Each command is a module of this room: the first line of its docstring is its help, the line above its example,
`add_arguments` declares its options, `run` runs it. `run` imports what it runs (torch, pandas), so the other commands
start without.
"""

import argparse
import errno
import sys
from collections.abc import Sequence

from prunegrid import __version__
from prunegrid.cli import (
    choose,
    clean,
    compare,
    contamination,
    cut,
    doctor,
    export,
    extra,
    figures,
    init,
    keep,
    ladder,
    merge,
    overlap,
    plan,
    prune,
    redact,
    report,
    score,
    show,
    stats,
    status,
    suggest,
    table,
    trace,
    verify,
)
from prunegrid.cli.help import Defaults, Parser
from prunegrid.core.errors import PrunegridError
from prunegrid.core.extras import missing_extra

COMMANDS = (
    keep,
    score,
    extra,
    suggest,
    prune,
    choose,
    cut,
    show,
    overlap,
    export,
    merge,
    table,
    report,
    redact,
    verify,
    trace,
    figures,
    ladder,
    compare,
    stats,
    init,
    doctor,
    status,
    clean,
    plan,
    contamination,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. What went wrong is one line on stderr, with exit code 1; after Ctrl-C that is 130."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        if sys.stdout:
            sys.stdout.flush()
    except PrunegridError as error:
        sys.exit(f"prunegrid {options.command}: {error}")
    except ImportError as error:
        if (missing := missing_extra(error)) is None:
            raise
        sys.exit(f"prunegrid {options.command}: {missing}")
    except BrokenPipeError:  # `| head` has read enough
        sys.stdout = None
    except KeyboardInterrupt:
        print(f"prunegrid {options.command}: interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"prunegrid {options.command}: {error.filename}: {error.strerror}; {_fix(error)}")


def _fix(error: OSError) -> str:
    is_denied = isinstance(error, PermissionError) or error.errno == errno.EROFS
    return "choose a writable folder, or change its permissions" if is_denied else "check the path"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="prunegrid", description="Prune a fine-tuning set: samples, then tokens of the samples that are kept."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    examples = {line.split()[1]: line for line in (__doc__ or "").splitlines() if line.startswith("prunegrid ")}
    for module in COMMANDS:
        name, text = module.__name__.rpartition(".")[2], (module.__doc__ or "").partition("\n")[0]
        example = f"example: {examples[name]}" if name in examples else None
        command = commands.add_parser(
            name, help=text.rstrip("."), description=text, epilog=example, formatter_class=Defaults
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
