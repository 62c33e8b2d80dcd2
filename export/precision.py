"""The best eight-bit file of a model: calibration and the layers to keep, both chosen on validation rows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.errors import MeasurementFailed
from hpmkd_edge.export.passes.calibration import CALIBRATIONS, Calibration
from hpmkd_edge.export.passes.quantize import Form, Observed, observe, write_int8

LossOf = Callable[[Path], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8:
    """An eight-bit file, and what it gives on validation rows.

    Attributes:
        kept: the layers that stay in float32, the most sensitive first.
        layers: how many there are in all.
        accuracy, loss: of this file; share of rows that are right, or R², and what the caller's loss is.
        full_accuracy, full_loss: of the file that it came from.
        most_drop: of accuracy that was allowed.
        tried: how many files were.
        failures: a sentence for each file that could not be run; such a one is never chosen.
    """

    path: Path
    form: Form
    calibration: Calibration
    kept: tuple[str, ...]
    layers: int
    accuracy: float
    loss: float
    full_accuracy: float
    full_loss: float
    most_drop: float
    tried: int
    failures: tuple[str, ...]

    @property
    def drop(self) -> float:
        """How much accuracy it loses; below 0 where it gains."""
        return self.full_accuracy - self.accuracy

    @property
    def fits(self) -> bool:
        """Whether that is allowed; where it is not, all layers but one in float32 were not enough."""
        return self.accuracy >= _least(self.full_accuracy, self.most_drop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    calibration: Calibration
    kept: tuple[str, ...]
    accuracy: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        return self.accuracy, -self.loss


@dataclass(slots=True, kw_only=True)
class _Trials:
    """Files that are written, graded and thrown away."""

    observed: Observed
    folder: Path
    loss_of: LossOf
    count: int = 0
    failures: list[str] = field(default_factory=list)

    def attempt(self, calibration: Calibration, keep: Collection[str] = ()) -> _Try | None:
        """Grade one file; None where it cannot be run."""
        path = self.folder / f"{self.count}.onnx"
        self.count += 1
        write_int8(self.observed, path, calibration=calibration, keep=keep)
        try:
            accuracy, loss = self.loss_of(path)
        except MeasurementFailed as error:
            self.failures.append(f"int8 by {calibration}, {len(keep)} layers kept: {error}")
            return None
        finally:
            path.unlink()
        if not (math.isfinite(accuracy) and math.isfinite(loss)):
            self.failures.append(f"int8 by {calibration}, {len(keep)} layers kept: its loss is {loss}.")
            return None
        return _Try(calibration=calibration, kept=tuple(keep), accuracy=accuracy, loss=loss)


def best_int8(
    source: Path,
    output: Path,
    *,
    feeds: Mapping[str, NDArray[Any]],
    form: Form,
    loss_of: LossOf,
    most_drop: float,
) -> Int8:
    """Write the best int8 file of *source* to *output*.

    All three calibrations are tried, and where most weights are looked up in tables, for ONNX Runtime, weights alone
    with activations in float32; the one with the highest accuracy, then the lowest loss, stays. Where it loses
    more than *most_drop*, layers are ranked by the loss of a file in which they alone are int8, and by bisection the
    fewest of the most sensitive stay in float32 that bring it back. If not even all but one do, the file with none kept
    is written, and `Int8.fits` is false.

    Args:
        source: of float32, best folded first.
        output: written once, at the end.
        feeds: training rows, by input name, to calibrate on; a few hundred are enough.
        form: whom the file is for.
        loss_of: grades a file on validation rows: accuracy, loss. It should run the file in a process of its own, for a
            runtime can crash on a file; it then raises MeasurementFailed, and that file is passed over.
        most_drop: of accuracy, as `loss_of` counts it.

    Raises:
        ConversionFailed: *source* cannot be read or run, or has nothing to quantize.
        MeasurementFailed: *source*, or every int8 file of it, cannot be graded.
    """
    full_accuracy, full_loss = loss_of(source)
    observed = observe(source, feeds, form)
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as folder:
        trials = _Trials(observed=observed, folder=Path(folder), loss_of=loss_of)
        # Where arithmetic is the least of a file, as of a table of embeddings, integers for it only cost accuracy.
        alone: tuple[Calibration, ...] = ("weights",) if observed.tables and form == "x86" else ()
        attempts = (trials.attempt(calibration) for calibration in (*CALIBRATIONS, *alone))
        tried = [one for one in attempts if one is not None]
        if not tried:
            raise MeasurementFailed(f"no int8 file of {source.name} could be run; {trials.failures[-1]}")
        best = max(tried, key=lambda one: one.rank)
        least = _least(full_accuracy, most_drop)
        if best.accuracy < least:
            best = _fewest_kept(trials, best.calibration, least) or best
    write_int8(observed, output, calibration=best.calibration, keep=best.kept)
    return Int8(
        path=output,
        form=form,
        calibration=best.calibration,
        kept=best.kept,
        layers=len(observed.layers),
        accuracy=best.accuracy,
        loss=best.loss,
        full_accuracy=full_accuracy,
        full_loss=full_loss,
        most_drop=most_drop,
        tried=trials.count,
        failures=tuple(trials.failures),
    )


def _least(full_accuracy: float, most_drop: float) -> float:
    """Return the least accuracy that is allowed: one rounding for whoever asks."""
    return full_accuracy - most_drop


def _fewest_kept(trials: _Trials, calibration: Calibration, least: float) -> _Try | None:
    """Return the file with the fewest layers kept that reaches the *least* accuracy, or None."""
    order = _by_sensitivity(trials, calibration)
    found, too_few, enough = None, 0, len(order)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        one = trials.attempt(calibration, order[:middle])
        if one is not None and one.accuracy >= least:
            found, enough = one, middle
        else:
            too_few = middle
    return found


def _by_sensitivity(trials: _Trials, calibration: Calibration) -> Sequence[str]:
    """Return the layers, first the one that costs most when it alone is int8."""
    layers = trials.observed.layers
    losses = {}
    for layer in tqdm(layers, desc="sensitivity of layers", unit="layer", disable=None, leave=False):
        one = trials.attempt(calibration, [other for other in layers if other != layer])
        losses[layer] = math.inf if one is None else one.loss
    return sorted(layers, key=lambda layer: -losses[layer])
