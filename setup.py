"""Put targets.yaml, which lies at the top for people, into the package for machines."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithTargets(build_py):
    """Copy targets.yaml beside the package that reads it; an editable install reads the one at the top."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copyfile("targets.yaml", Path(self.build_lib, "hpmkd_edge", "targets.yaml"))


setup(cmdclass={"build_py": BuildWithTargets})
