"""Load one function from a user's own Python file, given as `file.py:function`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hpmkd_edge.errors import EdgeError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFile:
    """A user's module, run once.

    Attributes:
        path: the file.
        function: the name after the colon.
        module: the module itself, with what stands beside the function.
        sha256: of the file's bytes.
    """

    path: Path
    function: str
    module: ModuleType
    sha256: str

    def get(self, name: str) -> Any:
        """Return what the module calls *name*, or None."""
        return getattr(self.module, name, None)


def is_python_spec(spec: str) -> bool:
    """Tell whether *spec* has the form `file.py:function`."""
    return ".py:" in spec or spec.endswith(".py")


def load_python_file(spec: str, error: type[EdgeError]) -> PythonFile:
    """Run the file of *spec* and find its function.

    Args:
        spec: `file.py:function`.
        error: the class to raise; a bad teacher and a bad student are different causes.

    Raises:
        EdgeError: of class *error*: no such file or function, or the file fails when run.
    """
    name, _, function = spec.rpartition(":")
    if not name:
        raise error(f"{spec} names no function; file.py:function is needed.")
    path = Path(name).expanduser()
    if not path.is_file():
        raise error(f"there is no file {path.absolute()}; file.py:function is needed.")
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    # The name carries the content: two files of one name, or two versions of one file, don't mix.
    unique = f"_hpmkd_edge_user_{path.stem}_{digest[:12]}"
    module = sys.modules.get(unique)
    if module is None:
        found = importlib.util.spec_from_file_location(unique, path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        # Registered before it runs, as dataclasses and pickles inside the file expect.
        sys.modules[unique] = module
        sys.path.insert(0, str(path.parent.absolute()))
        try:
            found.loader.exec_module(module)
        except (Exception, SystemExit) as fault:  # the user's code may raise anything
            del sys.modules[unique]
            raise error(f"{path} cannot be run: {type(fault).__name__}: {fault}.") from fault
        finally:
            sys.path.pop(0)
    if not callable(getattr(module, function, None)):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise error(f"{path} has no function {function!r}. {nearest(function, own)}")
    return PythonFile(path=path, function=function, module=module, sha256=digest)
