"""A table of published latencies: read strictly, and what the names in it say."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final

from hpmkd_edge.errors import BadData

COLUMNS: Final = ("model", "params_m", "gmacs", "device", "precision", "batch", "latency_ms", "source")
# A table has no graphs. MACs over the root of the parameters goes as the activations do: parameters are as the square
# of the width, MACs as its square times the positions. The last is what every run costs, whatever the model.
NAMES: Final = ("MACs", "parameters", "activations (MACs / √parameters)", "runs")
# Words of a size, which end a family's name.
_SIZES: Final = frozenset(
    {"nano", "atto", "tiny", "small", "base", "medium", "large", "minimalistic", "conv", "varlen", "varsize"}
)
_RUNTIMES: Final = (
    r"ArmNN|TFLite|TensorRT|PyTorch|ONNX|onnx|tflite|qnn_dlc|NCNN|MNN|OpenVINO|CPU|GPU|torch|MAXN|MaxQ|X-CUBE|(?i:microtvm_)"
    r"|mbed|zephyr"
)
# So many latencies that are equal to the last digit are of one chip under two names.
_TWINS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One latency.

    Attributes:
        family: of the model, by its name.
        board: the machine, by the device's name without runtime, release and memory.
        stack: machine and runtime: the device's name without the release.
        kind: "cpu", "tensorrt", "gpu", "npu" or "mcu", by the device's name.
    """

    model: str
    family: str
    macs: float
    parameters: float
    device: str
    board: str
    stack: str
    kind: str
    precision: str
    ms: float
    source: str

    @property
    def vector(self) -> tuple[float, float, float, float]:
        """The numbers that `NAMES` names."""
        return vector_of(self.macs, self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table holds.

    Attributes:
        rows: those that can be used, one a model, device and precision.
        incomplete: rows without MACs or parameters. larger: of another batch than 1. repeated: of the same as another.
    """

    rows: tuple[Row, ...]
    incomplete: int
    larger: int
    repeated: int


def vector_of(macs: float, parameters: float) -> tuple[float, float, float, float]:
    """Return the numbers that `NAMES` names; *parameters* above 0."""
    return (macs, parameters, macs / math.sqrt(parameters), 1.0)


def read_table(path: Path) -> Table:
    """Read a CSV with the columns `COLUMNS`; params_m and gmacs may be empty.

    Raises:
        BadData: the file cannot be read, or a line of it is wrong.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path} cannot be read as a CSV: {error}; a table of latencies is needed.") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        found = ",".join(lines[0])[:80] if lines else "nothing"
        raise BadData(f"{path}, line 1: {found} was found; {','.join(COLUMNS)} is needed.")
    rows, incomplete, larger = [], 0, 0
    for number, cells in enumerate(lines[1:], 2):
        where = f"{path}, line {number}"
        if len(cells) != len(COLUMNS):
            raise BadData(f"{where}: {len(cells)} values were found; {len(COLUMNS)} are needed.")
        line = dict(zip(COLUMNS, cells, strict=True))
        for column in ("model", "device", "precision", "source"):
            if not line[column].strip():
                raise BadData(f"{where}: {column} is empty; a name is needed.")
        ms, batch = _number(where, line, "latency_ms"), _number(where, line, "batch")
        parameters, macs = (_number(where, line, name) if line[name] else None for name in ("params_m", "gmacs"))
        if parameters is None or macs is None:
            incomplete += 1
        elif batch != 1:
            larger += 1
        else:
            rows.append(_row(line, macs=macs * 1e9, parameters=parameters * 1e6, ms=ms))
    seen = Counter((row.model, row.device, row.precision) for row in rows)
    kept = tuple({(row.model, row.device, row.precision): row for row in rows}.values())
    return Table(rows=_merge_twins(kept), incomplete=incomplete, larger=larger, repeated=len(rows) - len(seen))


def family_of(model: str) -> str:
    """Return a model's family: the words of its name before any size; "mobilenet-v2" and "mobilenet-v3" are two."""
    words: list[str] = []
    for part in re.split(r"[-_]", model.lower()):
        if part in _SIZES or (len(part) < 3 and not re.fullmatch(r"v\d", part)):
            break
        # "mobilenetv3" has both, "v2" a version, "resnet50" letters, "0.25" neither.
        pieces = re.match(r"(?P<letters>(?:(?!v\d)[a-z]){3,})?(?P<version>v\d+$)?", part)
        assert pieces is not None  # of options alone
        words += [piece for piece in pieces.groups() if piece]
        if any(letter.isdigit() for letter in part):
            break
    return "-".join(words) or model.lower()


def board_of(device: str) -> str:
    """Return the machine in a device's name: what comes before the runtime, without brackets and memory size."""
    plain = re.sub(r"\[.*?\]|\(.*?\)|,", "", device)
    plain = re.split(_RUNTIMES, plain.split("/")[-1])[0]
    plain = re.sub(r"\b\d+GB\b|_float.*|_int8.*|\bSuper\b", "", plain)
    return re.sub(r"[\s_-]+", " ", plain).strip().upper() or device


def kind_of(device: str) -> str:
    """Return what executes: "mcu", "npu", "tensorrt", "gpu" or "cpu"."""
    for pattern, kind in (
        (r"MLPerf Tiny", "mcu"),
        (r"NPU|mixed|CPU/GPU", "npu"),
        (r"TensorRT", "tensorrt"),
        (r"GPU|OpenCL|NVIDIA", "gpu"),
    ):
        if re.search(pattern, device):
            return kind
    return "cpu"


def _row(line: dict[str, str], *, macs: float, parameters: float, ms: float) -> Row:
    device = line["device"]
    return Row(
        model=line["model"],
        family=family_of(line["model"]),
        macs=macs,
        parameters=parameters,
        device=device,
        board=board_of(device),
        stack=re.sub(r"\s*\[.*?\]", "", device),
        kind=kind_of(device),
        precision=line["precision"],
        ms=ms,
        source=line["source"],
    )


def _number(where: str, line: dict[str, str], column: str) -> float:
    try:
        number = float(line[column])
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise BadData(f"{where}: {column} is {line[column]!r:.40}; a number above 0 is needed.")
    return number


def _merge_twins(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Give boards with the same figures one name: left out alone, either would be known by the other."""
    figures: dict[str, set[tuple[str, str, float]]] = defaultdict(set)
    for row in rows:
        figures[row.board].add((row.model, row.precision, row.ms))
    name = {board: board for board in figures}
    for one, other in combinations(figures, 2):
        if len(figures[one] & figures[other]) >= _TWINS:
            name[other] = name[one]
    return tuple(replace(row, board=name[row.board]) for row in rows)
