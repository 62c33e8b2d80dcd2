"""Choose a training's settings from the traits of its task."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.plan.traits import Traits

# Rows seen in one training: what two cores do in seconds on 8×8 digits, in minutes on 32×32 photographs.
IMAGES_SEEN: Final = 45_000
TABLE_ROWS_SEEN: Final = 700_000
VIEWS_SEEN_BY_TEACHER: Final = 20_000
USUAL_TEMPERATURE: Final = 4.0


def loss_for(kind: str, classes: int) -> tuple[str, float]:
    """Return the name and temperature of the loss for a task.

    Args:
        kind: "images" or "table".
        classes: K. For K = 2 DIST's inter-class term has no gradient, so it is taken from 10 classes on.
    """
    if kind == "table":
        return "logit_mse", 1.0
    if classes == 2:
        return "kd", 2.0
    return ("kd", 4.0) if classes < 10 else ("dist", 4.0)


def configure(
    traits: Traits,
    *,
    epochs: int | None = None,
    views: int | None = None,
    flip: bool = False,
    method: str | None = None,
    temperature: float | None = None,
) -> Settings:
    """Return the settings for a task with *traits*; what the user gave stands as it is."""
    images = traits.kind == "images"
    own_method, own_temperature = loss_for(traits.kind, traits.classes)
    # Few rows are seen more often: a training of less than some hundred steps goes nowhere.
    seen, most = (IMAGES_SEEN, 120) if images else (TABLE_ROWS_SEEN, 300)
    batch = 32
    while batch < 256 and traits.rows / batch > 20:
        batch *= 2
    return Settings(
        epochs=epochs or min(max(seen // traits.rows, 6), most),
        batch=min(batch, traits.rows),
        learning_rate=4e-3 if images else 2e-3,
        weight_decay=5e-2 if images else 1e-3,
        label_smoothing=0.02,
        ce_weight=1.0,
        kd_weight=1.0,
        method=method or own_method,
        temperature=temperature or (own_temperature if method in (None, own_method) else USUAL_TEMPERATURE),
        views=(views or min(max(VIEWS_SEEN_BY_TEACHER // traits.rows, 1), 8)) if images else 1,
        flip=flip,
    )
