"""The `prunegrid` command: the workflow's steps on your own model and data.

prunegrid score --model DIR --data FILE --out DIR
prunegrid extra ifd --model DIR --scores DIR
prunegrid prune --scores DIR --pair qtuning --sample-ratio 0.125 --token-ratio 0.5 --seed 0 --out DIR
prunegrid merge --model DIR --adapter DIR --out DIR
prunegrid table results/sandbox --against full
prunegrid trace results/sandbox
prunegrid figures results/sandbox
prunegrid compare results/sandbox --model sandbox-1M=LLaMA2-7B
prunegrid doctor experiments/paper.yaml
prunegrid plan experiments/paper.yaml
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prunegrid import __version__
from prunegrid.errors import PrunegridError
from prunegrid.extras import EXTRAS
from prunegrid.plan import command as plan_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a `PrunegridError` is one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except PrunegridError as error:
        sys.exit(f"prunegrid {options.command}: {error}")
    except BrokenPipeError:  # `| head` has read enough
        sys.stdout = None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prunegrid", description="Prune a fine-tuning set: samples, then tokens.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    _score_arguments(commands.add_parser("score", help="score a training set under a model, once"))
    _extra_arguments(commands.add_parser("extra", help="add an optional score that some pruners read"))
    _prune_arguments(commands.add_parser("prune", help="choose samples and tokens from scores"))
    _merge_arguments(commands.add_parser("merge", help="write a base model with a trained adapter merged in"))
    _results_commands(commands)
    _compare_arguments(commands.add_parser("compare", help="set results beside the published ones; or audit those"))
    doctor = commands.add_parser("doctor", help="say what this machine can run, and what an experiment lacks here")
    doctor.add_argument("experiment", type=Path, nargs="?", help="config.yaml, experiments/mine.yaml, ...")
    doctor.set_defaults(run=_doctor)
    plan = commands.add_parser("plan", help="estimate an experiment's jobs, hours, disk and memory before it runs")
    plan_command.add_arguments(plan)
    return parser


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder with safetensors, tokenizer, chat template")
    parser.add_argument("--data", type=Path, required=True, help="JSONL or Parquet: prompt/response, messages, ...")
    parser.add_argument("--out", type=Path, required=True, help="scores directory to write (with data.parquet)")
    parser.add_argument("--max-length", type=_at_least(8), default=2048, help="cut-off of prompt + response, in tokens")
    _forward_arguments(parser)
    parser.set_defaults(run=_score)


def _extra_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=list(EXTRAS), help="the score")
    parser.add_argument("--model", type=Path, required=True, help="the model that was scored with")
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument("--reference", type=Path, help="the reference model's folder, for reference_nll")
    _forward_arguments(parser)
    parser.set_defaults(run=_extra)


def _forward_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-tokens", type=_at_least(8), default=4096, help="padded tokens a forward pass")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=_at_least(1), default=os.cpu_count())


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument(
        "--pair", required=True, help="sample+token pruner (random+ppl, my_module:mine+ppl), or qtuning"
    )
    parser.add_argument("--sample-ratio", type=float, required=True, help="fraction of samples to keep")
    parser.add_argument("--token-ratio", type=float, required=True, help="fraction of response tokens to keep")
    parser.add_argument("--seed", type=_at_least(0), default=0)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the pruner, repeatable")
    parser.add_argument("--match", type=Path, metavar="FILE", help="selection.json whose realised counts to keep")
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for selection.parquet and selection.json, which are replaced if there",
    )
    parser.set_defaults(run=_prune)


def _results_commands(commands: Any) -> None:
    table = commands.add_parser("table", help="collect a results folder and print its table")
    table.add_argument("--against", metavar="ROW", help="what deltas are against: full, best, zero-shot, a variant")
    table.set_defaults(run=_table)
    trace = commands.add_parser("trace", help="compute the table's numbers again from its items, all or one")
    trace.set_defaults(run=_trace)
    figures = commands.add_parser("figures", help="draw the figures of a results folder")
    figures.set_defaults(run=_figures)
    for parser in (table, trace, figures):
        parser.add_argument("directory", type=Path, help="results/<experiment>")
    trace.add_argument("cell", nargs="?", help="model/cell, such as sandbox-1M/s0.125-t0.5/qtuning/seed0")
    trace.add_argument("benchmark", nargs="?", help="a column, such as GSM8K")


def _merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--adapter", type=Path, required=True, help="folder of the adapter: trained/.../model")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.set_defaults(run=_merge)


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="?", help="results/<experiment> or a results.parquet")
    parser.add_argument("--with", dest="other", type=Path, metavar="RESULTS", help="instead of the published tables")
    parser.add_argument("--model", action="append", default=[], metavar="OURS=THEIRS", help="same model, repeatable")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write all rows and columns there, too")
    parser.set_defaults(run=_compare)


def _merge(options: argparse.Namespace) -> None:
    from prunegrid.models import merge

    merge(options.model, options.adapter, options.out, options.dtype)
    print(options.out)


def _score(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.data import write_dataset
    from prunegrid.io import replacing
    from prunegrid.score import score
    from prunegrid.sections import Dataset, Scoring

    _refuse_foreign(options.out)
    torch.set_num_threads(options.threads)
    settings = Scoring(max_length=options.max_length, batch_tokens=options.batch_tokens, dtype=options.dtype)
    dataset = Dataset(name="data", path=str(options.data))
    with tempfile.TemporaryDirectory() as work:
        data = Path(work, "data.parquet")
        write_dataset(dataset, str(options.data), data, Path(work, "data.json"))
        meta = score(options.model, data, options.out, settings, options.device)
        for name in ("data.parquet", "data.json"):
            with replacing(options.out / name) as temporary:
                shutil.copyfile(Path(work, name), temporary)
    print(json.dumps(meta, indent=1))


def _extra(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.extras import write_extra
    from prunegrid.sections import Scoring

    torch.set_num_threads(options.threads)
    settings = Scoring(batch_tokens=options.batch_tokens, dtype=options.dtype)
    out = options.scores / "extra" / f"{options.name}.parquet"
    write_extra(options.name, options.scores, options.model, out, settings, options.device, options.reference)
    print(out)


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds anything but scores, and one whose extra scores would no longer belong to them."""
    ours = {"samples.parquet", "tokens.parquet", "meta.json", "data.parquet", "data.json"}
    foreign = sorted(file.name for file in out.iterdir() if file.name not in ours) if out.is_dir() else []
    if (out / "extra").is_dir():
        raise PrunegridError(
            f"{out}: extra/ holds scores that belong to those that would be replaced; remove it, or give another --out"
        )
    if foreign or out.is_file():
        raise PrunegridError(f"{out}: would be replaced, but is not a scores directory ({', '.join(foreign[:3])})")


def _at_least(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is too small; give {least} or more")
        return int(text)

    return count


def _prune(options: argparse.Namespace) -> None:
    from prunegrid.models import describe
    from prunegrid.prune import prune

    if options.out.is_file():
        raise PrunegridError(f"{options.out}: is a file; --out is a folder")
    summary = prune(
        options.scores,
        options.out,
        variant=options.pair,
        method=options.pair,
        options=dict(_option(text) for text in options.option),
        sample_ratio=options.sample_ratio,
        token_ratio=options.token_ratio,
        seed=options.seed,
        match=options.match / "selection.json" if options.match and options.match.is_dir() else options.match,
        expected_digests=describe(options.model)["digests"] if options.model else None,
    )
    print(json.dumps(summary, indent=1))


def _option(text: str) -> tuple[str, Any]:
    """`neighbor_lambda=0` to a name and a value, which is JSON where it can be and text otherwise."""
    name, value = _pair(text, "--option", "neighbor_lambda=0")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _pair(text: str, argument: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise PrunegridError(f"{argument} {text}: write NAME=VALUE, for example {example}")
    return name, value


def _table(options: argparse.Namespace) -> None:
    from prunegrid.table.build import FORMATS, build, folder

    build(options.directory, options.against)
    out = folder(options.directory, options.against)
    print((out / "table.md").read_text())
    print(f"{out}: {', '.join(f'table.{ending}' for ending in FORMATS)}")


def _trace(options: argparse.Namespace) -> None:
    from prunegrid.table.trace import trace_all, trace_one

    if options.cell is None:
        traced = trace_all(options.directory)
        print(
            f"{options.directory}: {traced.scores} scores, {traced.averages} averages and {traced.deltas} deltas are "
            f"what {traced.values} item values give; so are the {traced.shown} scores, spreads and deltas of table.csv"
        )
        print(
            f"made again, and the same: {', '.join(str(file.relative_to(options.directory)) for file in traced.files)}"
        )
    elif options.benchmark is None:
        raise PrunegridError("give a cell and a benchmark, or neither")
    else:
        print("\n".join(trace_one(options.directory, options.cell, options.benchmark)))


def _figures(options: argparse.Namespace) -> None:
    from prunegrid.figures.draw import draw_folder

    for file in draw_folder(options.directory):
        print(file)


def _compare(options: argparse.Namespace) -> None:
    from prunegrid.published import audit, audit_report, compare_report

    if not options.results and (options.other or options.model):
        raise PrunegridError("--with and --model compare results; give the results to compare first")
    if options.results:
        found, said = compare_report.of_folders(
            options.results, options.other, dict(_pair(text, "--model", "LLaMA=LLaMA2-7B") for text in options.model)
        )
        print(compare_report.markdown(found, said))
    else:
        found, said = audit.audit(), list[str]()
        print(audit_report.report(found))
    if options.out:
        compare_report.write_csv(found, said, options.out)
        print(f"\n{options.out}: written")


def _doctor(options: argparse.Namespace) -> None:
    from prunegrid.doctor import examine

    if not examine(options.experiment):
        sys.exit(1)


if __name__ == "__main__":
    main()
