"""A model's folder on the disk: which files it has, and whether they are complete."""

from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import damaged_file, read_json, repair
from prunegrid.experiment import layout


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file of a model's folder, as manifests record them for `check_complete`."""
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}


def manifest_file(folder: Path) -> Path:
    """The manifest of a base model, beside its folder."""
    return folder.with_name(f"{folder.name}.json")


def check_complete(folder: Path) -> None:
    """Refuse a model if one of its files is missing or differs in size from its manifest.

    A base model's manifest is `<folder>.json`, a trained model's `training.json` beside the folder. A folder without
    one does not come from the workflow, and is not checked.
    """
    for manifest in (manifest_file(folder), folder.with_name(layout.TRAINING)):
        sizes: dict[str, int] = read_json(manifest).get("files", {}) if manifest.is_file() else {}
        if damage := damaged_file(folder, sizes):
            raise PrunegridError(folder / damage.name, damage.problem, repair(folder))


def is_adapter(folder: Path) -> bool:
    """Whether a trained model's folder holds a LoRA adapter instead of a whole model."""
    return (folder / "adapter_config.json").exists()


def config_file(folder: Path) -> Path:
    """The folder's config.json; refused if there is none."""
    file = folder / "config.json"
    if not file.exists():
        raise PrunegridError(folder, "has no config.json", "give the folder of a model saved with save_pretrained")
    return file
