"""Made-up inputs that a model accepts: enough to time it, where no data is at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes import tokenizer
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Input
from hpmkd_edge.errors import BadConfiguration, unknown
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME, is_tokenizer

Shape = tuple[int, ...]

_SIZE: Final = re.compile("[1-9][0-9]{0,8}", re.ASCII)
MOST_NUMBERS: Final = 2**28  # 2 GB of float64


def parse_shapes(texts: Iterable[str]) -> dict[str, Shape]:
    """Read `NAME=1,128` of the flag --shape, each time that it is given; `NAME=` is a scalar's.

    Raises:
        BadConfiguration: it has another form, a size below 1, or a name comes twice.
    """
    shapes: dict[str, Shape] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        numbers = [size.strip() for size in sizes.split(",")] if sizes.strip() else []
        if not equals or not name or not all(_SIZE.fullmatch(number) for number in numbers):
            raise BadConfiguration(f"--shape {text} was given; an input's name and its sizes, as x=1,128, are needed.")
        if name in shapes:
            raise BadConfiguration(f"--shape gives the input {name} twice; once is needed.")
        shapes[name] = tuple(map(int, numbers))
    return shapes


def feeds_of_file(
    path: Path, *, runtime: str = "onnxruntime", batch: int = 1, shapes: Mapping[str, Shape] | None = None
) -> dict[str, NDArray[Any]]:
    """Return made-up feeds of *batch* rows for the inputs that the model file declares.

    Args:
        path: of the model file.
        runtime: that reads it.
        batch: the size of an open axis 0.
        shapes: of inputs by name, where more is open.

    Raises:
        BadConfiguration: there is no such runtime or file, an axis other than the batch's is open and no shape is
            given, or a given one does not fit.
        RuntimeUnavailable: the runtime cannot run here.
        MeasurementFailed: the file cannot be read.
    """
    return feeds_for(choose_runtime(runtime).inputs(path), batch=batch, shapes=shapes)


def feeds_of_student(
    model: Path,
    preprocessing: Path | None,
    *,
    runtime: str = "onnxruntime",
    shapes: Mapping[str, Shape] | None = None,
    text: str | None = None,
) -> dict[str, NDArray[Any]]:
    """Return one made-up row as the first of a student's files takes it.

    Args:
        model: the student's own file.
        preprocessing: what runs before it, or None.
        runtime: that reads the model.
        shapes: of inputs by name, where more than the batch is open.
        text: the sentence for a tokenizer, or for a model whose only input is strings [N]; None for one of 32 pieces of
            a tokenizer's vocabulary, or for what is made up of any input.

    Raises:
        BadConfiguration: there is a text or a shape for what takes none; otherwise as `feeds_of_file`.
        RuntimeUnavailable, MeasurementFailed: as `feeds_of_file`.
    """
    if preprocessing is None or not is_tokenizer(preprocessing):
        first, reader = (model, runtime) if preprocessing is None else (preprocessing, PREPROCESSING_RUNTIME)
        return feeds_of_file(first, runtime=reader, shapes=shapes) if text is None else _of_text(first, reader, text)
    if shapes:
        raise BadConfiguration(f"--shape gives {', '.join(shapes)} a shape; what a tokenizer takes is given by --text.")
    return tokenizer.feeds_of([tokenizer.made_up_text(preprocessing) if text is None else text])


def _of_text(path: Path, runtime: str, text: str) -> dict[str, NDArray[Any]]:
    """Return *text* as the only input of a file that takes sentences."""
    declared = choose_runtime(runtime).inputs(path)
    if [(one.dtype.kind, len(one.shape)) for one in declared] != [("O", 1)]:
        raise BadConfiguration(
            f"a text was given, and {path.name} takes {' and '.join(one.name for one in declared)}, no sentences;"
            " --preprocessing tokenizer.json is needed, or a model that takes strings."
        )
    return {declared[0].name: np.array([text], np.object_)}


def feeds_of_files(
    paths: Sequence[Path], *, batch: int = 1, shapes: Mapping[str, Shape] | None = None
) -> list[dict[str, NDArray[Any]]]:
    """Return made-up feeds for several files, each with those of *shapes* that it has an input for.

    Raises:
        BadConfiguration: no file has an input of such a name; otherwise as `feeds_of_file`.
        RuntimeUnavailable, MeasurementFailed: as `feeds_of_file`.
    """
    shapes = shapes or {}
    declared = [choose_runtime("onnxruntime").inputs(path) for path in paths]
    names = {one.name for inputs in declared for one in inputs}
    for name in shapes:
        if name not in names:
            raise unknown("input", name, names)
    return [
        feeds_for(inputs, batch, {one.name: shapes[one.name] for one in inputs if one.name in shapes})
        for inputs in declared
    ]


def feeds_for(
    inputs: Sequence[Input], batch: int = 1, shapes: Mapping[str, Shape] | None = None
) -> dict[str, NDArray[Any]]:
    """Return made-up values for *inputs*, the same at every call.

    Whole-range bytes, floats from the standard normal, 0 or 1 for other integers (valid as ids,
    counts and flags alike), short words for strings.

    Args:
        inputs: as a runtime declares them; an open axis 0 becomes *batch*.
        batch: rows.
        shapes: of inputs by name, where more is open.

    Raises:
        BadConfiguration: an axis other than the first is open and no shape is given, a given one does not fit, or an
            array would take gigabytes.
    """
    shapes = shapes or {}
    names = [one.name for one in inputs]
    for name in shapes:
        if name not in names:
            raise unknown("input", name, names)
    generator = np.random.default_rng(0)
    return {one.name: _values(one, _shape(one, batch, shapes.get(one.name)), generator) for one in inputs}


def _shape(one: Input, batch: int, given: Shape | None) -> Shape:
    if given is None:
        for axis, size in enumerate(one.shape):
            if size is None and axis > 0:
                sizes = ",".join(str(size or (batch if axis == 0 else "SIZE")) for axis, size in enumerate(one.shape))
                raise BadConfiguration(
                    f"the input {one.name} has an open axis {axis};"
                    f" its sizes are needed, as --shape {one.name}={sizes}."
                )
        given = tuple(batch if size is None else size for size in one.shape)
    # A runtime declares no axes both for a scalar and for an input of any shape.
    elif one.shape and not _fits(given, one.shape):
        declared = ",".join("open" if size is None else str(size) for size in one.shape)
        raise BadConfiguration(
            f"--shape {one.name}={','.join(map(str, given))} was given; the file declares {one.name}={declared}."
        )
    if prod(given) > MOST_NUMBERS:
        raise BadConfiguration(
            f"the input {one.name} would have {prod(given):,} numbers; at most {MOST_NUMBERS:,} are made up."
        )
    return given


def _fits(given: Shape, declared: tuple[int | None, ...]) -> bool:
    return len(given) == len(declared) and all(
        open_ in (None, size) for size, open_ in zip(given, declared, strict=True)
    )


def _values(one: Input, shape: Shape, generator: np.random.Generator) -> NDArray[Any]:
    if one.dtype.kind == "f":
        return generator.standard_normal(shape).astype(one.dtype)
    if one.dtype == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    if one.dtype == np.object_:
        return generator.choice(np.array(["a", "b", "c"], np.object_), shape)
    return generator.integers(0, 2, shape).astype(one.dtype)
