# What a run prints: a line for each cell that finishes, with its scores and the time that is left, one for each job that
# many cells share, and errors. Snakemake's own blocks, which name every path of every job, are in its log (.snakemake/log)
# and on the terminal with --verbose. The main process alone sees its jobs finish, wherever they run.
import copy
import logging
import sys

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

HIDDEN = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.JOB_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
    LogEvent.RESOURCES_INFO,
}
CHATTER = ("Select jobs to execute", "Building DAG", "Using shell", "Conda environments: ignored", "Rules claiming")
SCORED = {"evaluate", "import_scores"}
LONGEST_LIST = 12


def is_shown(record):
    """A dry run shows its jobs. (Whether this is one is known only once the rules have been read.)"""
    if workflow.dryrun:
        return True
    return getattr(record, "event", None) not in HIDDEN and not str(record.msg).startswith(CHATTER)


class ShortFormatter(logging.Formatter):
    """Snakemake's formatter, with the number of files in place of a long list of paths."""

    def __init__(self, formatter):
        super().__init__()
        self.formatter = formatter

    def format(self, record):
        event = getattr(record, "event", None)
        if event in (LogEvent.JOB_INFO, LogEvent.JOB_ERROR):
            record = copy.copy(record)
            for name in ("input", "output"):
                paths = getattr(record, name, None) or []
                if len(paths) > LONGEST_LIST:
                    setattr(record, name, [f"{len(paths)} files"])
            if len(getattr(record, "reason", None) or "") > 500:
                record.reason = f"{record.reason[:500]} ..."
        return self.formatter.format(record)


class FinishedJobs(logging.Handler):
    """Prints what has finished."""

    def __init__(self):
        super().__init__()
        self.jobs, self.progress = {}, None
        self.table_is_new = False

    def emit(self, record):
        if workflow.touch:  # no job runs: files are only marked as made
            return
        event = getattr(record, "event", None)
        try:
            if event == LogEvent.JOB_INFO:
                self.jobs[record.jobid] = record.rule_name, dict(record.wildcards)
            elif event == LogEvent.JOB_FINISHED and record.job_id in self.jobs:
                self.finish(*self.jobs.pop(record.job_id))
        except PrunegridError as error:
            print(f"prunegrid: {error}", file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)

    def finish(self, name, wildcards):
        self.table_is_new |= name == "table"
        line = None
        if name in SCORED:
            line = self.progress.finish(wildcards["model"], wildcards["cell"]) if self.progress else None
        elif "cell" not in wildcards and name != "all":
            line = f"{name.replace('_', ' ')}: {', '.join(wildcards.values()) or 'done'}"
        if line:
            print(line, file=sys.stderr, flush=True)


FINISHED_JOBS = FinishedJobs()


def shorten_log():
    """Give Snakemake's handler of the terminal these rules. Its log file keeps everything."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setFormatter(ShortFormatter(handler.formatter))
            handler.addFilter(is_shown)
    logger.addHandler(FINISHED_JOBS)


def watch_cells():
    """Before the first job of a run: which cells it is to evaluate."""
    from prunegrid.plan.progress import Progress

    awaited = [job.wildcards for job in workflow.dag.needrun_jobs() if job.rule.name in SCORED]
    FINISHED_JOBS.progress = Progress(EXPERIMENT, Path(R), {(cell.model, cell.cell) for cell in awaited})


def print_table():
    """At the end of a run that made the table."""
    if FINISHED_JOBS.table_is_new:
        from prunegrid.table import terminal
        from prunegrid.table.build import make_table, read

        paths = [Path(R, name) for name in (layout.table("md"), layout.REPORT)]
        print(f"\n{terminal.render(make_table(read(Path(R))))}")
        print(*filter(Path.exists, paths), sep="\n", flush=True)


output = workflow.output_settings
if workflow.is_main_process and not (output.verbose or output.quiet):
    shorten_log()
