"""How much a row's lesson listens to each teacher: weights without training, the mixture, and what it is worth."""

# Shape suffixes: N = rows, M = teachers, K = classes.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LEAST_PROBABILITY: Final = 1e-7  # so that its logarithm is finite
FLOOR: Final = 0.1
SURE: Final = 0.9


def _log_softmax(logits_NK: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    shifted = logits_NK.astype(np.float64)  # a copy
    shifted -= shifted.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    return shifted


def label_log_probabilities(teachers_MNK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the logarithm of what each teacher gives to each row's label: [N, M], a row's −CE of each teacher."""
    rows = np.arange(len(labels_N))
    return np.stack([_log_softmax(logits_NK)[rows, labels_N] for logits_NK in teachers_MNK], 1)


def _favor_low(loss_NM: NDArray[np.float64], temperature: float, floor: float) -> NDArray[np.float32]:
    favor_NM = np.exp(_log_softmax(-loss_NM / temperature))
    return np.asarray((1 - floor) * favor_NM + floor / loss_NM.shape[1], np.float32)


def closed_form(
    teachers_MNK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    *,
    temperature: float = 1.0,
    floor: float = FLOOR,
) -> NDArray[np.float32]:
    """Weigh the teachers of each row by how well they know its label.

    `w = (1 − floor) · softmax_M(−CE_m / temperature) + floor / M`. At a temperature of 1 the softmax is the
    responsibility `p_m(y) / Σ p_j(y)` of a mixture with equal shares, as in the E step of EM.

    Args:
        teachers_MNK: logits, [M, N, K].
        labels_N: [N].
        temperature: lower listens more to the best teacher of a row; in nats, above 0.
        floor: the share, of 1, that is dealt out equally.

    Returns:
        float32 [N, M]; a row sums to 1.
    """
    return _favor_low(-label_log_probabilities(teachers_MNK, labels_N), temperature, floor)


def closed_form_unlabeled(
    teachers_MNK: NDArray[np.float32], *, temperature: float = 1.0, floor: float = FLOOR
) -> NDArray[np.float32]:
    """Weigh the teachers of each row by how sure they are: as `closed_form`, with entropies in place of CE.

    A teacher that is sure and wrong is believed, so this is for rows without labels only.
    """
    entropies = []
    for logits_NK in teachers_MNK:
        log_NK = _log_softmax(logits_NK)
        entropies.append(-(np.exp(log_NK) * log_NK).sum(1))
    return _favor_low(np.stack(entropies, 1), temperature, floor)


def mixture_logits(teachers_MNK: NDArray[np.float32], weights_NM: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a student learns from: the logarithm of the weighted mean of the teachers' probabilities.

    Returns:
        float32 [N, K], at least log(1e-7).
    """
    mixture_NK = np.zeros(teachers_MNK.shape[1:])
    for number, logits_NK in enumerate(teachers_MNK):
        mixture_NK += weights_NM[:, number, None] * np.exp(_log_softmax(logits_NK))
    return np.asarray(np.log(mixture_NK.clip(LEAST_PROBABILITY)), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What weights are worth: the cross-entropy, in nats a row, of the mixture that they make, and its rivals'.

    Attributes:
        mean_weights: of each teacher over the rows.
        weighted: cross-entropy of the mixture with these weights.
        uniform: of the mixture with equal weights.
        singles: of each teacher alone.
        lead_error: standard error of *lead*, over the rows.
        sure_share: share of the rows whose largest weight is at least 0.9.
        spread: standard deviation of a teacher's weight between the rows, mean over the teachers.
    """

    mean_weights: tuple[float, ...]
    weighted: float
    uniform: float
    singles: tuple[float, ...]
    lead_error: float
    sure_share: float
    spread: float

    @property
    def best_single(self) -> float:
        """Cross-entropy of the teacher that is best alone."""
        return min(self.singles)

    @property
    def lead(self) -> float:
        """Nats a row by which the weighted mixture beats the better of the uniform one and the best single teacher."""
        return min(self.uniform, self.best_single) - self.weighted

    @property
    def pays(self) -> bool:
        """Whether the lead is more than its noise; else there is nothing to learn that equal weights do not give."""
        return self.lead > 2 * self.lead_error


def worth_of(weights_NM: NDArray[np.float32], teachers_MNK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Worth:
    """Compare the mixture that *weights_NM* make with the uniform one and with each teacher alone.

    The weights must not have been made from these rows' own labels, as those of `closed_form` are: such a mixture
    has read the answers, and its cross-entropy says nothing. What it is worth shows in the race.
    """
    labeled_NM = np.exp(label_log_probabilities(teachers_MNK, labels_N))

    def loss_of(probability_N: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(-np.log(probability_N.clip(LEAST_PROBABILITY)))

    weighted_N, uniform_N = loss_of((weights_NM * labeled_NM).sum(1)), loss_of(labeled_NM.mean(1))
    singles_MN = loss_of(labeled_NM.T)
    best_N = min(uniform_N, *singles_MN, key=lambda loss_N: float(loss_N.mean()))
    return Worth(
        mean_weights=tuple(float(weight) for weight in weights_NM.mean(0, dtype=np.float64)),
        weighted=float(weighted_N.mean()),
        uniform=float(uniform_N.mean()),
        singles=tuple(float(loss_N.mean()) for loss_N in singles_MN),
        lead_error=float((best_N - weighted_N).std()) / math.sqrt(len(labels_N)),
        sure_share=float((weights_NM.max(1) >= SURE).mean()),
        spread=float(weights_NM.std(0, dtype=np.float64).mean()),
    )
