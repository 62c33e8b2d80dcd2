"""The part of this package that a board needs, as files that Python 3.8 can run.

Starting from an entry, imports of ours are followed; what a newer Python would be needed for is rewritten, and what
its library would be needed for is taken from `older_python`.
"""

from __future__ import annotations

import ast
import io
import tarfile
import zipfile
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "hpmkd_edge"
WORKER: Final = f"{PACKAGE}.bench.worker"
COMMAND: Final = f"{PACKAGE}.bench.__main__"  # starts the worker by its name
LEAST_PYTHON: Final = (3, 8)
_OLDER: Final = f"{PACKAGE}.bench.older_python"
# Beside the module that reads it.
_DATA: Final = {f"{PACKAGE}.bench.reference": "reference.onnx"}
# What older Pythons have not, by the module that has it now.
_REPLACED: Final = {
    "dataclasses": {"dataclass"},
    "functools": {"cache"},
    "importlib.resources": {"as_file", "files"},
    "numpy.typing": {"NDArray"},
    "types": {"UnionType"},
}
_GENERICS: Final = {
    "dict": "Dict",
    "frozenset": "FrozenSet",
    "list": "List",
    "set": "Set",
    "tuple": "Tuple",
    "type": "Type",
}
# A zip has no folder for the measuring processes to start in; they find it on their path.
_START: Final = f"""import os, runpy, sys
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (sys.path[0], os.environ.get("PYTHONPATH"))))
runpy.run_module("{COMMAND}", run_name="__main__", alter_sys=True)
"""


@cache
def bundled(entry: str = WORKER) -> dict[str, bytes]:
    """Return the files that the module *entry* needs of this package, by their path from the folder to run in."""
    found = {f"{PACKAGE}/__init__.py": Path(str(import_module(PACKAGE).__file__)).read_bytes()}
    waiting = {WORKER, entry, _OLDER}
    while waiting:
        module = waiting.pop()
        path = _source(module)
        if path is None:
            continue
        name = _place(module, path)
        if name in found:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting |= {*_imported(tree), *_packages(module)}
        found[name] = _rewritten(tree, module).encode()
        if module in _DATA:
            found[str(Path(name).parent / _DATA[module])] = (path.parent / _DATA[module]).read_bytes()
    return dict(sorted(found.items()))


def bundle_tar(entry: str = WORKER) -> bytes:
    """Return the files of `bundled` as an uncompressed tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in bundled(entry).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def write_bundle(path: Path) -> None:
    """Write one file that `python3 PATH model.onnx` measures with, on a board where nothing of ours is installed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"__main__.py": _START.encode(), **bundled(COMMAND)}.items():
            archive.writestr(name, content)


def foreign_imports(entry: str = WORKER) -> set[str]:
    """Return the top-level packages that the files of *entry* import when they are loaded, the library's too."""
    found = set()
    for content in bundled(entry).values():
        if content[:1] in (b"\x08", b"\n"):  # an ONNX file's first field
            continue
        for node in ast.parse(content).body:
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - {PACKAGE}


def _source(module: str) -> Path | None:
    """Return the file of a module of ours, without importing it; None if it is a name inside of one."""
    room, *inner = module.split(".")[1:]
    spec = find_spec(f"{PACKAGE}.{room}")
    if spec is None or spec.origin is None:
        return None
    if not inner:
        return Path(spec.origin)
    stem = Path(spec.origin).parent.joinpath(*inner)
    found = (stem.with_name(f"{stem.name}.py"), stem / "__init__.py")
    return next((path for path in found if spec.submodule_search_locations and path.is_file()), None)


def _place(module: str, path: Path) -> str:
    folders = module.replace(".", "/")
    return f"{folders}/__init__.py" if path.name == "__init__.py" else f"{folders}.py"


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(2, len(parts))]


def _imported(tree: ast.Module) -> list[str]:
    """Return every module of ours that *tree* may name in an import, inside functions too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.startswith(f"{PACKAGE}.")]


def _rewritten(tree: ast.Module, module: str) -> str:
    if module == _OLDER:
        return ast.unparse(tree)
    older = ast.ImportFrom(module=_OLDER.rpartition(".")[0], names=[ast.alias("older_python", "_older")], level=0)
    rewrite = _Rewrite()
    tree = rewrite.visit(tree)
    if rewrite.needs_older:
        # Behind the docstring and what is imported from the future.
        first = next(
            (i for i, node in enumerate(tree.body) if not _is_docstring(node) and not _is_future(node)), len(tree.body)
        )
        tree.body.insert(first, older)
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


class _Rewrite(ast.NodeTransformer):
    """Say the same in Python 3.8."""

    def __init__(self) -> None:
        self.needs_older = False

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | list[ast.ImportFrom]:
        """Take from the right place what has moved since, or was not there."""
        if node.module == "collections.abc":  # there not yet subscriptable
            return ast.ImportFrom(module="typing", names=node.names, level=0)
        replaced = _REPLACED.get(node.module or "", set())
        ours = [alias for alias in node.names if alias.name in replaced]
        theirs = [alias for alias in node.names if alias.name not in replaced]
        parts = [ast.ImportFrom(module=node.module, names=theirs, level=0)] if theirs else []
        return [*parts, ast.ImportFrom(module=_OLDER, names=ours, level=0)] if ours else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Turn tuple[int, ...] into typing's."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in _GENERICS:
            node.value = self._typing(_GENERICS[node.value.id])
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Turn X | None into typing's: the types of fields are read when JSON is decoded."""
        self.generic_visit(node)
        node.annotation = self._union(node.annotation)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Let zip be strict."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "zip" and node.keywords:
            node.func = self._older("zip_strictly")
        return node

    def _union(self, node: ast.expr) -> ast.expr:
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, field, self._union(value))
            elif isinstance(value, list):
                setattr(node, field, [self._union(one) for one in value])
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)):
            return node
        options = ast.Tuple(elts=[node.left, node.right], ctx=ast.Load())
        return ast.Subscript(value=self._typing("Union"), slice=options, ctx=ast.Load())

    def _typing(self, name: str) -> ast.expr:
        return ast.Attribute(value=self._older("typing"), attr=name, ctx=ast.Load())

    def _older(self, name: str) -> ast.expr:
        self.needs_older = True
        return ast.Attribute(value=ast.Name("_older", ctx=ast.Load()), attr=name, ctx=ast.Load())
