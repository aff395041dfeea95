"""The extras of the package, as in `pip install "prunegrid[report]"`, and the modules that each brings.

Scoring, pruning and export need none of them. pyproject.toml has the same packages with their bounds.
"""

from importlib.util import find_spec

from prunegrid.core.errors import PrunegridError

MODULES = {
    "train": ("deepspeed", "peft", "tensorboardX"),
    "eval": ("lm_eval",),
    "report": ("matplotlib", "scipy", "statsmodels", "tabulate"),
    "select": ("sklearn",),
    "workflow": ("snakemake", "gguf"),
    "liger": ("liger_kernel",),
    "vllm": ("vllm",),
}
EXTRA = {module: extra for extra, modules in MODULES.items() for module in modules}


def missing_modules(extra: str) -> list[str]:
    return [module for module in MODULES[extra] if not find_spec(module)]


def missing_extra(error: BaseException | None) -> PrunegridError | None:
    """What to install, if the error or its cause is an import of a module that an extra brings; None if it is not."""
    while error:
        module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if module in EXTRA:
            return PrunegridError(module, "is not installed", f"run {install_command(module)}")
        error = error.__cause__ or error.__context__
    return None


def install_command(*modules: str) -> str:
    """How pip installs the modules: by their extras where they have one, else by their own names."""
    names = [f'"prunegrid[{EXTRA[module]}]"' if module in EXTRA else module for module in modules]
    return " ".join(["pip install", *dict.fromkeys(names)])
