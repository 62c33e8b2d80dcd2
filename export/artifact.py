"""The file that ships, and what is known of it."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.inspection import weight_files

# What ships is called so; the others only where the student's own runtime cannot take the raw rows.
STUDENT: Final = "student.onnx"
PREPROCESSING: Final = "preprocessing.onnx"
TOKENIZER: Final = "tokenizer.json"
FULL_STUDENT: Final = "student-fp32.onnx"  # beside one that ships in another precision
PREPROCESSING_RUNTIME: Final = "onnxruntime"
TOKENIZER_RUNTIME: Final = "tokenizers"
PREPROCESSING_SHA256: Final = "hpmkd_edge.preprocessing_sha256"  # in the metadata of the file that it runs before


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How an exported file answers beside the model that it came from, on real rows.

    Attributes:
        rows: how many were compared.
        agreement: share of rows with the same class; 1 for values, which have none.
        max_error: largest difference of a probability; or of a value, over the deviation of the labels.
        of: what was compared.
    """

    rows: int
    agreement: float
    max_error: float
    of: Literal["probability", "value"] = "probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model file, and the file that makes its features where it does not take raw rows itself.

    Attributes:
        precision: carried in the model's graph.
        preprocessing: runs on the CPU before the model, a graph by ONNX Runtime or a tokenizer.json by `tokenizers`;
            or None.
    """

    path: Path
    precision: str
    parity: Parity | None
    preprocessing: Path | None = None

    @property
    def file_bytes(self) -> int:
        """Size of all that ships."""
        return sum(bytes_of(path) for path in (self.path, self.preprocessing) if path is not None)

    @property
    def sha256(self) -> str:
        """Of the model file's bytes, in hex; its metadata has that of its preprocessing."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def is_tokenizer(preprocessing: Path) -> bool:
    """Tell whether what runs before a model is a tokenizer and no graph, by its name."""
    return preprocessing.suffix == ".json"


def runtime_before(preprocessing: Path) -> str:
    """Return the name of the library that runs *preprocessing*."""
    return TOKENIZER_RUNTIME if is_tokenizer(preprocessing) else PREPROCESSING_RUNTIME


def shipped_name(preprocessing: Path) -> str:
    """Return what *preprocessing* is called where it ships."""
    return TOKENIZER if is_tokenizer(preprocessing) else PREPROCESSING


def ship(artifact: Artifact, folder: Path) -> Artifact:
    """Copy the files of *artifact* into *folder*, under the names by which they will be found there."""
    before = artifact.preprocessing
    if before is not None:
        before = shutil.copyfile(before, folder / shipped_name(before))
    return replace(artifact, path=shutil.copyfile(artifact.path, folder / STUDENT), preprocessing=before)


def bytes_of(path: Path) -> int:
    """Return the size of a model file and of the weights beside it; of the file alone where onnx is not installed."""
    beside: tuple[Path, ...] = ()
    if find_spec("onnx") is not None:
        # An engine, or another runtime's own format, is whole.
        with suppress(BadConfiguration):
            beside = weight_files(path)
    return sum(file.stat().st_size for file in (path, *beside))


def follows_another(path: Path) -> bool:
    """Tell whether the ONNX file at *path* says that it takes what a preprocessing file gives."""
    import onnx

    facts = onnx.load(path, load_external_data=False).metadata_props
    return any(fact.key == PREPROCESSING_SHA256 for fact in facts)


def precision_of(path: Path) -> Literal["fp32", "fp16", "int8"]:
    """Return the precision that the ONNX file at *path* carries in its graph.

    int8 where integers are dequantized to be multiplied, fp16 where half-precision weights are held; else fp32.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    if any(
        node.op_type in ("DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger") for node in graph.node
    ):
        return "int8"
    halves = any(one.data_type == onnx.TensorProto.FLOAT16 for one in graph.initializer)
    return "fp16" if halves else "fp32"
