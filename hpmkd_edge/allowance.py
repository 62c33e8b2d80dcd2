"""Which sizes of a family are small enough beside the teacher, or are those that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpmkd_edge.errors import unknown
from hpmkd_edge.students.family import Size
from hpmkd_edge.teachers.teacher import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a student may be to be small enough beside its teacher.

    Attributes:
        sizes: of the ladder, fewest parameters first; at least one.
        most_bytes: of its file, or None where parameters decide.
        note: a sentence for the report, where one is needed.
    """

    sizes: tuple[Size, ...]
    most_bytes: float | None
    note: str | None


def allowed_sizes(ladder: Sequence[Size], teacher: Teacher, compression: float) -> Allowance:
    """Return what a student may be to be *compression* times smaller than *teacher*.

    Compared in parameters; in the bytes of the files where the teacher has no count of parameters.
    """
    if teacher.parameters is not None:
        most, most_bytes = teacher.parameters / compression, None
    elif teacher.model_bytes is not None:
        most_bytes = teacher.model_bytes / compression
        most = most_bytes / 4  # of fp32 weights alone; the file itself is weighed when it is probed
    else:
        return any_size(ladder, "The teacher's size is unknown")
    sizes = tuple(size for size in ladder if size.parameters <= most)
    if sizes:
        return Allowance(sizes=sizes, most_bytes=most_bytes, note=None)
    teachers = f"{teacher.parameters:,} parameters" if teacher.parameters else f"{teacher.model_bytes:,} bytes"
    none = (
        f"No size of the family is {compression:g} times smaller than the teacher ({teachers}); the smallest of those"
        f" allowed, {ladder[0].label}, has {ladder[0].parameters:,} parameters of 4 bytes."
    )
    return Allowance(sizes=(ladder[0],), most_bytes=most_bytes, note=none)


def any_size(ladder: Sequence[Size], why: str) -> Allowance:
    """Return all sizes; *why* begins the sentence that says so."""
    note = f"{why}, so no least compression was asked of the student."
    return Allowance(sizes=tuple(ladder), most_bytes=None, note=note)


def rung(ladder: Sequence[Size], asked: str) -> Size:
    """Return the size that the user names by width and depth."""
    known = {f"{size.width}x{size.depth}": size for size in ladder}
    name = asked.replace("×", "x")
    if name not in known:
        raise unknown("size", asked, known)
    return known[name]
