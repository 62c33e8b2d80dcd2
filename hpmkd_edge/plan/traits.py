"""What is known of a task, its teacher and its student before the student is trained: the meta-features."""

# Shape suffixes: N = rows, M = columns of numbers, V = values, K = classes.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.kernels.metafeatures import describe_columns
from hpmkd_edge.tasks.task import Images, Inputs, Table, Task, Texts

# Rows that the moments are read off: enough for two digits of a mean, and no wait on millions of rows.
MOST_ROWS: Final = 4096
IMAGES_AT_ONCE: Final = 64
LEVELS: Final = np.arange(256) / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Meta-features of a task and of the models on it; None where one is not known.

    Attributes:
        kind: "images", "table", "text", or "values": a table whose label is one. Only tasks of one kind are compared.
        rows: training rows.
        classes: 0 where values are learned.
        features: columns of a table, numbers in an image, or words in a sentence, in the mean.
        imbalance: rows of the most frequent class over those of the rarest that has any.
        majority: share of the most frequent class.
        label_entropy: in nats.
        mean, variance, skewness, kurtosis: each the mean of what the number columns, or the channels of pixels in
            0 … 1, have; of sentences ln(1 + characters) has them. A normal distribution has kurtosis 0.
        missing: share of the table's cells without a value, or of empty sentences.
        categories: share of the columns that hold text.
        teacher_parameters, student_parameters: trained numbers.
        teacher_accuracy: share of the validation rows; of values R².
        family: the student's, by name; "" where none is chosen yet.
    """

    kind: str
    rows: int
    classes: int
    features: int | None = None
    imbalance: float | None = None
    majority: float | None = None
    label_entropy: float | None = None
    mean: float | None = None
    variance: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None
    missing: float | None = None
    categories: float | None = None
    teacher_parameters: int | None = None
    student_parameters: int | None = None
    teacher_accuracy: float | None = None
    family: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times smaller than the teacher the student is; its logarithm is the log gap."""
        return _ratio(self.teacher_parameters, self.student_parameters)

    @property
    def rows_per_feature(self) -> float | None:
        """Training rows for each number of a row."""
        return _ratio(self.rows, self.features)

    def numbers(self) -> dict[str, float]:
        """Return what can be compared between tasks, by name; a trait that is not known is left out.

        Counts, sizes and ratios differ by powers of ten, so their logarithms stand here; moments are in the data's
        own units and can be negative, so their inverse hyperbolic sines do, which are logarithms with a sign.
        """
        logarithms = {
            "rows": self.rows,
            "classes": self.classes,
            "features": self.features,
            "rows_per_class": _ratio(self.rows, self.classes),
            "rows_per_feature": self.rows_per_feature,
            "imbalance": self.imbalance,
            "teacher_parameters": self.teacher_parameters,
            "student_parameters": self.student_parameters,
            "gap": self.ratio,
            "student_parameters_per_row": _ratio(self.student_parameters, self.rows),
        }
        moments = {
            "mean": self.mean,
            "variance": self.variance,
            "skewness": self.skewness,
            "kurtosis": self.kurtosis,
        }
        shares = {
            "majority": self.majority,
            "label_entropy": self.label_entropy,
            "missing": self.missing,
            "categories": self.categories,
            "teacher_accuracy": self.teacher_accuracy,
        }
        return {
            **{name: math.log(number) for name, number in logarithms.items() if number},
            **{name: math.asinh(number) for name, number in moments.items() if number is not None},
            **{name: float(number) for name, number in shares.items() if number is not None},
        }


def traits_of(
    task: Task,
    *,
    family: str = "",
    teacher_parameters: int | None = None,
    student_parameters: int | None = None,
    teacher_accuracy: float | None = None,
) -> Traits:
    """Read the meta-features of *task* off its training rows, at most 4,096 of them for the moments.

    Source: the list of HPM-KD (arXiv 2512.09886).
    """
    imbalance, majority, entropy = _class_facts(task) if task.goal == "classes" else (None, None, None)
    size = len(task.train)
    some_N = np.unique(np.linspace(0, size - 1, min(size, MOST_ROWS)).round().astype(np.int64))
    features, missing, categories, moments = _facts(task.train.inputs.take(some_N))
    # Of the columns or channels that have it: a constant has no skewness.
    known = [of_columns[~np.isnan(of_columns)] for of_columns in moments]
    mean, variance, skewness, kurtosis = (float(some.mean()) if len(some) else None for some in known)
    return Traits(
        kind="values" if task.goal == "value" else task.kind,
        rows=size,
        classes=len(task.classes),
        features=features,
        imbalance=imbalance,
        majority=majority,
        label_entropy=entropy,
        mean=mean,
        variance=variance,
        skewness=skewness,
        kurtosis=kurtosis,
        missing=missing,
        categories=categories,
        teacher_parameters=teacher_parameters,
        student_parameters=student_parameters,
        teacher_accuracy=teacher_accuracy,
        family=family,
    )


def _ratio(of: float | None, over: float | None) -> float | None:
    return of / over if of and over else None


def _class_facts(task: Task) -> tuple[float, float, float]:
    """Return imbalance, the share of the most frequent class, and the labels' entropy in nats."""
    counts_K = np.bincount(task.train.labels, minlength=len(task.classes))
    # A class without training rows would make the imbalance infinite.
    present = counts_K[counts_K > 0]
    shares = present / present.sum()
    return float(present.max() / present.min()), float(shares.max()), float(-(shares * np.log(shares)).sum())


def _facts(inputs: Inputs) -> tuple[int, float, float, NDArray[np.float64]]:
    if isinstance(inputs, Images):
        return _image_facts(inputs)
    return _text_facts(inputs) if isinstance(inputs, Texts) else _table_facts(inputs)


def _table_facts(table: Table) -> tuple[int, float, float, NDArray[np.float64]]:
    """Return columns, the share of missing cells, that of columns of words, and the moments [4, M] of those of numbers.

    The moments are mean, variance, skewness and kurtosis less 3, NaN where there is none.
    """
    numbers = [column.values for column in table.columns if column.kind == "number"]
    numbers_NM = np.stack(numbers, 1) if numbers else np.empty((len(table), 0), np.float32)
    facts = describe_columns(numbers_NM)
    words = [column for column in table.columns if column.kind == "category"]
    missing = int(facts.missing.sum()) + sum(int(column.missing.sum()) for column in words)
    columns = len(table.columns)
    moments = np.stack([facts.mean, facts.variance, facts.skewness, facts.kurtosis])
    return columns, missing / (columns * len(table)), len(words) / columns, moments


def _image_facts(images: Images) -> tuple[int, float, float, NDArray[np.float64]]:
    """Return the same of images, where the numbers of a row are pixels, and channels have the moments."""
    moments = []
    for pixels in np.moveaxis(images.pixels, -1, 0):
        # By histogram, some images at a time: bincount makes eight bytes of each pixel.
        blocks = (pixels[start : start + IMAGES_AT_ONCE].ravel() for start in range(0, len(pixels), IMAGES_AT_ONCE))
        counts = sum(np.bincount(block, minlength=256) for block in blocks)
        moments.append(_moments(LEVELS, counts / pixels.size))
    return math.prod(images.pixels.shape[1:]), 0.0, 0.0, np.array(moments).T


def _text_facts(texts: Texts) -> tuple[int, float, float, NDArray[np.float64]]:
    """Return the same of sentences: their words in the mean, and the moments of their lengths, on a log scale."""
    sentences = texts.strings()
    lengths_N = np.array([len(sentence) for sentence in sentences], np.int64)
    words = sum(len(sentence.split()) for sentence in sentences)
    values, counts = np.unique(lengths_N, return_counts=True)
    moments = _moments(np.log1p(values), counts / len(lengths_N))
    return round(words / len(lengths_N)), float((lengths_N == 0).mean()), 0.0, np.array([moments]).T


def _moments(values_V: NDArray[np.float64], shares_V: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return mean, variance, skewness and kurtosis less 3; NaN for the last two of a constant."""
    values_V, shares_V = values_V[shares_V > 0], shares_V[shares_V > 0]
    if values_V.min() == values_V.max():
        return float(values_V[0]), 0.0, math.nan, math.nan
    mean = float(shares_V @ values_V)
    variance = float(shares_V @ (values_V - mean) ** 2)
    scaled_V = (values_V - mean) / math.sqrt(variance)
    return mean, variance, float(shares_V @ scaled_V**3), float(shares_V @ scaled_V**4) - 3
