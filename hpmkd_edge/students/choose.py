"""The families by name."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.errors import BadStudent, nearest
from hpmkd_edge.python_file import is_python_spec, load_python_file
from hpmkd_edge.students.bag import BAG
from hpmkd_edge.students.convolution import DEPTHWISE, RESIDUAL
from hpmkd_edge.students.encoder import Encoder
from hpmkd_edge.students.family import DEFAULTS, Family
from hpmkd_edge.students.gated import GATED
from hpmkd_edge.students.mlp import Mlp
from hpmkd_edge.students.user_file import UserFamily
from hpmkd_edge.tasks.task import Task

FAMILIES: Final[dict[str, Family]] = {
    "mlp": Mlp(),
    "residual": RESIDUAL,
    "depthwise": DEPTHWISE,
    "gated": GATED,
    "bag": BAG,
    "encoder": Encoder(),
}


def open_family(spec: str | None, task: Task) -> Family:
    """Return the family that *spec* names: one of ours, `file.py:function`, or None for the task's default.

    Raises:
        BadStudent: there is no such family, file or function.
    """
    name = DEFAULTS[task.kind] if spec is None else spec
    if name in FAMILIES:
        return FAMILIES[name]
    if not is_python_spec(name):
        raise BadStudent(
            f"there is no student family {name!r}, and file.py:function would name your own. {nearest(name, FAMILIES)}"
        )
    file = load_python_file(name, BadStudent)
    return UserFamily(name=f"{file.path.name}:{file.function}", file=file)
