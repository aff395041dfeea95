"""What pyproject.toml cannot say: the wheel holds the workflow's files, which stand outside of the package's folder."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = ("config.yaml", "envs/prunegrid.yaml", "experiments", "workflow")


class BuildWithWorkflow(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # `prunegrid.core.installation` finds them in the checkout
            return
        folder = Path(self.build_lib, "prunegrid/_workflow")
        shutil.rmtree(folder, ignore_errors=True)
        for name in WORKFLOW:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(name, target)


setup(cmdclass={"build_py": BuildWithWorkflow})
