"""Raw rows as the arrays and frames that foreign models take."""

# Shape suffixes: N = rows, H = height, W = width, C = channels, F = number columns.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher, nearest
from hpmkd_edge.tasks.task import Column, Images, Inputs, Table
from hpmkd_edge.teachers.normalization import UNIT, Normalization
from hpmkd_edge.teachers.request import TeacherRequest

if TYPE_CHECKING:
    import pandas as pd

Layout = Literal["NHWC", "NCHW", "flat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """How a model takes images.

    Attributes:
        layout: the order of its axes; "flat" is [N, H·W·C].
        dtype: "uint8", "float16", "float32" or "float64".
        normalization: None where it takes the bytes themselves.
    """

    layout: Layout
    dtype: str
    normalization: Normalization | None

    @property
    def phrase(self) -> str:
        """What is done, for reports."""
        how = "raw bytes" if self.normalization is None else self.normalization.phrase
        return f"{how}, {self.layout}"

    def prepare(self, inputs: Inputs) -> NDArray[Any]:
        """Return the images as one array in the model's layout and type."""
        assert isinstance(inputs, Images)
        pixels_NHWC: NDArray[Any] = inputs.pixels
        if self.normalization is not None:
            pixels_NHWC = self.normalization.apply(inputs.pixels)
        if self.layout == "NCHW":
            pixels_NHWC = pixels_NHWC.transpose(0, 3, 1, 2)
        elif self.layout == "flat":
            pixels_NHWC = pixels_NHWC.reshape(len(pixels_NHWC), -1)
        return np.ascontiguousarray(pixels_NHWC, dtype=self.dtype)


def image_input(name: str, declared: Sequence[int | None], dtype: str, request: TeacherRequest) -> ImageInput:
    """Deduce how a model takes the task's images from the input that it declares.

    Where all axes are free, bytes are taken to be NHWC and floats NCHW.

    Args:
        name: of the teacher.
        declared: the shape with its batch axis; None for a free axis.
        dtype: of the input; bytes are passed raw, floats normalized (by default over 255).
        request: holds the task and what `--normalize` says.

    Raises:
        BadTeacher: another type, or a shape that the task's images do not have.
        BadConfiguration: `--normalize` for a model that takes bytes.
    """
    images = request.task.train.inputs
    assert isinstance(images, Images)
    H, W, C = images.pixels.shape[1:]
    if dtype not in ("uint8", "float16", "float32", "float64"):
        raise BadTeacher(f"{name} takes {dtype}; an image input of uint8 or float is needed.")
    if dtype == "uint8":
        request.refuse_normalization(f"{name} takes raw bytes")
    order: tuple[Layout, ...] = ("NHWC", "NCHW", "flat") if dtype == "uint8" else ("NCHW", "NHWC", "flat")
    shapes: dict[Layout, tuple[int, ...]] = {"NHWC": (H, W, C), "NCHW": (C, H, W), "flat": (H * W * C,)}
    for layout in order:
        axes = shapes[layout]
        if len(axes) == len(declared) - 1 and all(
            has in (None, wanted) for has, wanted in zip(declared[1:], axes, strict=True)
        ):
            normalization = None if dtype == "uint8" else request.normalization or UNIT
            return ImageInput(layout=layout, dtype=dtype, normalization=normalization)
    shape = ", ".join("N" if axis is None else str(axis) for axis in declared)
    raise BadTeacher(f"{name} takes images of shape [{shape}]; the task's images are {H}×{W}×{C}.")


def numbers_of(table: Table) -> tuple[str, ...]:
    """Return the names of the columns that hold numbers, in order."""
    return tuple(column.name for column in table.columns if column.kind == "number")


def check_numbers(name: str, table: Table, width: int | None, hint: str = "") -> None:
    """Make sure that a model which takes one matrix can take a table's number columns.

    Args:
        name: of the teacher.
        table: any rows of the task.
        width: columns that the model declares, or None where it declares none.
        hint: what else the user can do, appended.

    Raises:
        BadTeacher: another number of columns, or text columns that would be left out unasked.
    """
    numbers = numbers_of(table)
    left = next((column for column in table.columns if column.kind == "category"), None)
    kind = "text" if left is None or left.holds_text else "a category"
    if width is None and left is not None:
        raise BadTeacher(f"{name} takes one matrix of numbers; the column {left.name!r} holds {kind}{hint}.")
    if width is not None and width != len(numbers):
        raise BadTeacher(
            f"{name} takes a matrix of {width} column(s); the task has {len(numbers)} columns of numbers"
            + (f", and {kind} such as {left.name!r}" if left is not None else "")
            + f"{hint}."
        )


def number_matrix(table: Table) -> NDArray[np.float32]:
    """Return the number columns in order: float32 [N, F], NaN for a missing value."""
    columns = [column.values for column in table.columns if column.kind == "number"]
    return np.stack(columns, axis=1).astype(np.float32, copy=False)


def check_names(name: str, wanted: Sequence[str], table: Table) -> None:
    """Make sure that a table has the columns that a model was fitted on.

    Raises:
        BadTeacher: with the first columns that are not there, and the nearest that is.
    """
    own = [column.name for column in table.columns]
    strange = [column for column in wanted if column not in set(own)]
    if strange:
        raise BadTeacher(
            f"{name} was fitted on {', '.join(map(repr, strange[:3]))}, which the task does not have. "
            f"{nearest(strange[0], own)}"
        )


def numbers_in(column: Column) -> NDArray[Any]:
    """Return a column of numbers, or a category of whole numbers: float64, NaN where missing, else int64."""
    missing_N = column.missing
    if column.kind == "category" and not missing_N.any():
        return column.values
    return np.where(missing_N, np.nan, column.values.astype(np.float64))


def data_frame(
    table: Table, names: Sequence[str], categories: Mapping[str, Sequence[Any]] = MappingProxyType({})
) -> pd.DataFrame:
    """Return the columns *names*, in that order, as pipelines and boosters are used to them.

    Numbers are float64 with NaN; categories of text are objects: strings, with NaN for a missing value; those of
    whole numbers are int64, or float64 with NaN.

    Args:
        table: the rows.
        names: of the columns.
        categories: the categories of columns that become pandas' own, in their order; any other value is missing.
    """
    import pandas as pd

    columns = {column.name: column for column in table.columns}
    series: dict[str, pd.Series[Any]] = {}
    for name in names:
        column = columns[name]
        if column.holds_text:
            one: pd.Series[Any] = pd.Series(np.where(column.missing, np.nan, column.values), dtype=object)
        else:
            one = pd.Series(numbers_in(column))
        if name in categories:
            known = list(categories[name])
            one = pd.Series(pd.Categorical(one.where(one.isin(known)), categories=known))
        series[name] = one
    frame: pd.DataFrame = pd.DataFrame(series)
    return frame
