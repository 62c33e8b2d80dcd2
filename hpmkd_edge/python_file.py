"""Load one function from a user's own Python file, given as `file.py:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from hpmkd_edge.errors import EdgeError, nearest

PREFIX: Final = "_hpmkd_edge_user_"
# Where a module notes the source that it ran: Python keeps no such record, and a file may change later.
MARK: Final = "_hpmkd_edge_sha256"
# Loaded at other moments in each process, and not the user's code: the running script and this package.
NOT_HELPERS: Final = ("__main__", "__mp_main__", "hpmkd_edge")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFile:
    """A user's module, run once.

    Attributes:
        path: the file.
        function: the name after the colon.
        module: the module itself, with what stands beside the function.
    """

    path: Path
    function: str
    module: ModuleType

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the spec: a module cannot be pickled, and is run there again."""
        return _loaded_again, (f"{self.path}:{self.function}",)

    def get(self, name: str) -> Any:
        """Return what the module calls *name*, or None."""
        return getattr(self.module, name, None)

    def digest(self) -> str:
        """Return the sha256 of the file and of the loaded modules in its folder and below, in hex.

        A function may import a helper when it is first called, so this is asked once all have been called.
        """
        helpers = sorted((name, _mark(helper)) for name, helper in _helpers(self.path.parent))
        return hashlib.sha256(repr([("", _mark(self.module)), *helpers]).encode()).hexdigest()


def _loaded_again(spec: str) -> PythonFile:
    return load_python_file(spec, EdgeError)


def is_python_spec(spec: str) -> bool:
    """Tell whether *spec* has the form `file.py:function`."""
    return ".py:" in spec or spec.endswith(".py")


def _on_disk(module: ModuleType) -> str:
    """Return the sha256 of a module's file as it is now, in hex; "" if it is gone."""
    try:
        return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    except OSError:
        return ""


def _mark(module: ModuleType) -> str:
    """Return the sha256 of the source that a module ran: of its file when it was first seen here."""
    found: str = vars(module).setdefault(MARK, _on_disk(module))
    return found


def _lies_in(file: str, folder: Path) -> bool:
    # Both as written and with links followed: a helper may be a link to a file elsewhere.
    return any(Path(way(file)).is_relative_to(way(folder)) for way in (os.path.abspath, os.path.realpath))


def _is_installed(file: str, folder: Path) -> bool:
    """Tell whether a file in *folder* belongs to a Python that lies there too, as `.venv` in a project does."""
    own = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    if any(_lies_in(root, folder) and _lies_in(file, Path(root)) for root in own):
        return True
    below = Path(os.path.relpath(os.path.realpath(file), os.path.realpath(folder)))
    return bool({"site-packages", "dist-packages"} & set(below.parts))


def _helpers(folder: Path) -> Iterator[tuple[str, ModuleType]]:
    """Yield the loaded modules of *folder* and below with their names, but none that was given as a spec."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in NOT_HELPERS or name.startswith(PREFIX) or not isinstance(module, ModuleType):
            continue
        file = vars(module).get("__file__")
        if isinstance(file, str) and _lies_in(file, folder) and not _is_installed(file, folder):
            yield name, module


def _forget_others(folder: Path) -> None:
    """Drop user modules that a file of *folder* must not meet: changed on disk since, or from another folder."""
    loaded = [(name, module) for name, module in list(sys.modules.items()) if isinstance(module, ModuleType)]
    marked = {name: module for name, module in loaded if MARK in vars(module)}
    own = {name: module for name, module in marked.items() if _lies_in(str(module.__file__), folder)}
    # One that changed takes the others with it: they hold what they imported from it.
    stale = any(vars(module)[MARK] != _on_disk(module) for module in own.values())
    for name in marked if stale else marked.keys() - own.keys():
        del sys.modules[name]


def _run(path: Path, unique: str, error: type[EdgeError]) -> ModuleType:
    """Run the file as the module *unique*, with its folder first among those that it can import from."""
    found = importlib.util.spec_from_file_location(unique, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    _mark(module)
    # Registered before it runs, as dataclasses and pickles inside the file expect.
    sys.modules[unique] = module
    folder = str(path.parent.absolute())
    sys.path.insert(0, folder)
    # A helper that was written a moment ago is not yet in the importer's list of the folder.
    importlib.invalidate_caches()
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as fault:  # the user's code may raise anything
        del sys.modules[unique]
        raise error(f"{path} cannot be run: {type(fault).__name__}: {fault}.") from fault
    finally:
        # By value: the file may have put folders of its own before this one.
        with suppress(ValueError):
            sys.path.remove(folder)
    for _, helper in _helpers(path.parent):
        _mark(helper)
    return module


def load_python_file(spec: str, error: type[EdgeError]) -> PythonFile:
    """Run the file of *spec* and find its function.

    A file is run again only where it or a helper beside it has changed, or a file of another folder ran since.

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
    _forget_others(path.parent)
    # The name carries place and content: two files of one name, or two versions of one file, don't mix.
    identity = os.fsencode(path.resolve()) + b"\0" + path.read_bytes()
    unique = f"{PREFIX}{path.stem}_{hashlib.sha256(identity).hexdigest()[:12]}"
    module = sys.modules.get(unique) or _run(path, unique, error)
    if not callable(getattr(module, function, None)):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise error(f"{path} has no function {function!r}. {nearest(function, own)}")
    return PythonFile(path=path, function=function, module=module)
