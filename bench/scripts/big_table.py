"""Read and encode a large made-up table: how much memory that takes beside its data, and how many rows a second.

The table is written once, by row groups, into an ignored folder. Each stage's peak is that of the whole process up to
its end, libraries included: what they alone take is printed first.

    python -m hpmkd_edge.bench.scripts.big_table --rows 5000000
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from tqdm import tqdm

from hpmkd_edge.kernels.binning import quantile_edges
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.encoding import encode, fit_encoding
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Table

GROUP_ROWS: Final = 250_000
FOLDER: Final = Path(__file__).parents[2] / ".cache" / "big_table"
Made = TypeVar("Made")


def write_table(path: Path, rows: int, columns: int) -> None:
    """Write *columns* of float32 normal noise, some of it missing, and a label that follows the first two."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([*((f"n{place}", pyarrow.float32()) for place in range(columns)), ("y", pyarrow.int8())])
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with parquet.ParquetWriter(unfinished, schema) as writer:
        for start in tqdm(range(0, rows, GROUP_ROWS), desc="write", unit="group", leave=False, disable=hidden()):
            generator = np.random.default_rng([0, start])
            values_MN = generator.standard_normal((columns, min(GROUP_ROWS, rows - start)), np.float32)
            labels_N = (values_MN[0] + values_MN[1] > 0).astype(np.int8)
            values_MN[generator.random(values_MN.shape, np.float32) < 0.01] = np.nan
            writer.write_table(pyarrow.table([*values_MN, labels_N], schema=schema))
    unfinished.replace(path)


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def timed(stage: str, rows: int, data_bytes: int, work: Callable[[], Made]) -> Made:
    """Do *work*, and print its rows per second and the peak so far as a multiple of the data."""
    start = time.perf_counter()
    made = work()
    seconds = time.perf_counter() - start
    peak = peak_bytes()
    print(
        f"{stage:16} {rows / seconds:12,.0f} rows/s {seconds:8.1f} s   peak {peak / 1e9:6.2f} GB ="
        f" {peak / data_bytes:.2f} x data"
    )
    return made


def main() -> None:
    """Write the table if it is not there, open it as a task, and encode its parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--read-only", action="store_true", help="do not encode")
    asked = parser.parse_args()
    path = FOLDER / f"{asked.rows}x{asked.columns}.parquet"
    if not path.exists():
        write_table(path, asked.rows, asked.columns)
        print(f"{path} is written; measure in a process that has not written it: run this again.")
        return
    quantile_edges(np.zeros(2, np.float32), 1)  # Numba is loaded now, not as part of a stage
    import pyarrow.parquet  # noqa: F401

    data_bytes = asked.rows * asked.columns * 4
    print(
        f"{asked.rows:,} rows x {asked.columns} columns = {data_bytes / 1e9:.2f} GB of float32; libraries take "
        f"{peak_bytes() / 1e9:.2f} GB"
    )
    task = timed("open_task", asked.rows, data_bytes, lambda: open_task(str(path), label="y"))
    if asked.read_only:
        return
    train = task.train.inputs
    assert isinstance(train, Table)
    encoding = timed("fit_encoding", len(train), data_bytes, lambda: fit_encoding(train))
    features = timed("encode train", len(train), data_bytes, lambda: encode(encoding, train))
    print(f"{features.shape[1]} features = {features.nbytes / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
