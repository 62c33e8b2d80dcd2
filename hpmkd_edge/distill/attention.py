"""Attention over teachers: a small net that learns whom to believe about which row (HPM-KD, arXiv 2512.09886).

As printed, `h = MLP1([x; t_1..t_M])`, `a(x) = softmax(MLP2(h))`, `p(x) = Σ a_m(x) p_m(x)`, with learned embeddings
t_m of the teachers and their logits beside x. It learns the cross-entropy of the mixture p against the labels, less
0.01 times the entropy of a: trained on the student's loss instead, the weights drift to whom is easiest to copy.
"""

# Shape suffixes: N = rows, B = batch, F = features, I = inputs of the net, M = teachers, K = classes.

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hpmkd_edge.distill.ensemble import label_log_probabilities
from hpmkd_edge.distill.step import on_threads
from hpmkd_edge.errors import BadData, TrainingFailed
from hpmkd_edge.progress import hidden

SIDE: Final = 8  # of a pooled image
BUCKETS: Final = 256  # that the pieces of a text are counted in
EMBEDDING: Final = 16
HIDDEN: Final = 128
ENTROPY: Final = 0.01
LEARNING_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 1e-2
BATCH: Final = 128
EPOCHS: Final = 30
PATIENCE: Final = 4  # epochs without a better one
HELD_BACK: Final = 6  # every such row of a half decides when to stop
FOLDS: Final = 2
FURTHEST: Final = 5.0  # standard deviations: a rare piece of a text is hundreds away where it occurs
CONSTANT: Final = 1e-6  # a standard deviation below it is rounding
LEAST_ROWS: Final = 4  # each half needs one row to learn from and one to stop by
JUDGED_AT_ONCE: Final = 4096
# Sums in another order round differently, and batches this small are faster on one thread beside other work.
THREADS: Final = 1


def compact(features: Tensor) -> Tensor:
    """Return [N, F] of what an inlet opened: images [N, C, H, W] pooled to at most 8×8 a channel, tables unchanged.

    Of the pieces of a text, [N, T], it is the share of each bucket: the remainder of their ids, so that each bucket
    holds pieces from all of the vocabulary. A text without pieces is all zeros.
    """
    if not features.is_floating_point():
        counts = torch.zeros(len(features), BUCKETS, device=features.device)
        real = (features != 0).float()  # 0 is padding
        counts.scatter_add_(1, features % BUCKETS, real)
        return counts / real.sum(1, keepdim=True).clamp(min=1)
    if features.ndim == 2:
        return features
    _, _, height, width = features.shape
    return functional.adaptive_avg_pool2d(features, (min(SIDE, height), min(SIDE, width))).flatten(1)


class _Net(nn.Module):
    def __init__(self, inputs: int, teachers: int) -> None:
        super().__init__()
        # The same for every row, so in this place the embeddings act as a bias, as in the paper.
        self.embeddings = nn.Parameter(0.1 * torch.randn(teachers * EMBEDDING))
        self.see = nn.Sequential(
            nn.Linear(inputs + teachers * EMBEDDING, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
        )
        last = nn.Linear(HIDDEN, teachers)
        # Equal weights to start from, so that a net that learns nothing is the uniform mixture.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.weigh = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), last)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return the logarithm of the weights, [B, M]."""
        embedded = self.embeddings.expand(len(inputs_BI), -1)
        scores_BM: Tensor = self.weigh(self.see(torch.cat([inputs_BI, embedded], 1)))
        return scores_BM.log_softmax(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scales:
    """What makes the net's inputs comparable, from the training rows; of their labels it knows nothing.

    Attributes:
        mean, deviation: of the features, [F].
        logits: standard deviation of each teacher's row-centered logits, [M].
    """

    mean: Tensor
    deviation: Tensor
    logits: NDArray[np.float32]

    def inputs(self, features_NF: Tensor, teachers_MNK: NDArray[np.float32], rows_B: NDArray[np.int64]) -> Tensor:
        """Return some rows' features and their teachers' row-centered logits: [B, F + M·K]."""
        features_BF = ((features_NF[torch.from_numpy(rows_B)] - self.mean) / self.deviation).clamp(-FURTHEST, FURTHEST)
        logits_MBK = teachers_MNK[:, rows_B]
        logits_MBK = (logits_MBK - logits_MBK.mean(2, keepdims=True)) / self.logits[:, None, None]
        logits_BI = logits_MBK.transpose(1, 0, 2).reshape(len(rows_B), -1)
        return torch.cat([features_BF, torch.from_numpy(np.ascontiguousarray(logits_BI, np.float32))], 1)


def _scales(features_NF: Tensor, teachers_MNK: NDArray[np.float32]) -> _Scales:
    deviation_F = features_NF.std(0, correction=0)
    logits = np.array([(logits_NK - logits_NK.mean(1, keepdims=True)).std() for logits_NK in teachers_MNK], np.float32)
    return _Scales(
        mean=features_NF.mean(0),
        deviation=torch.where(deviation_F > CONSTANT, deviation_F, 1.0),
        logits=np.where(logits > CONSTANT, logits, np.float32(1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Two nets, each fitted on one half of the training rows; made by `cross_fit`.

    Attributes:
        judge: [N], which net judges each training row: the one that has not seen its label.
    """

    nets: tuple[nn.Module, ...]
    judge: NDArray[np.int64]
    scales: _Scales

    def weights(self, features_NF: Tensor, teachers_MNK: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weigh the teachers of the training rows, or of a view of them.

        Args:
            features_NF: the rows `cross_fit` was given, or an augmented view of them, in the same order.
            teachers_MNK: the teachers' logits for that view.

        Returns:
            float32 [N, M]; a row sums to 1 and does not depend on the row's own label.

        Raises:
            ValueError: there are more or fewer rows than `cross_fit` was given.
        """
        if len(features_NF) != len(self.judge):
            raise ValueError(
                f"{len(features_NF)} rows are not the {len(self.judge)} that the attention was fitted on;"
                " ask weights_of_new about others."
            )
        weights_NM = np.empty((len(features_NF), len(teachers_MNK)), np.float32)
        for number in range(FOLDS):
            rows = np.flatnonzero(self.judge == number)
            weights_NM[rows] = self._judged(number, features_NF, teachers_MNK, rows)
        return weights_NM

    def weights_of_new(self, features_NF: Tensor, teachers_MNK: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weigh the teachers of rows that neither net has seen, by the mean of both: float32 [N, M]."""
        rows = np.arange(len(features_NF))
        judged = [self._judged(number, features_NF, teachers_MNK, rows) for number in range(FOLDS)]
        return np.asarray(np.mean(judged, 0), np.float32)

    def _judged(
        self, number: int, features_NF: Tensor, teachers_MNK: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        features_NF = features_NF.float().cpu()
        with on_threads(THREADS), torch.inference_mode():
            parts = [
                self.nets[number](self.scales.inputs(features_NF, teachers_MNK, rows[start : start + JUDGED_AT_ONCE]))
                for start in range(0, len(rows), JUDGED_AT_ONCE)
            ]
            return np.asarray(torch.cat(parts).exp().numpy(), np.float32)


def _fit(
    features_NF: Tensor,
    teachers_MNK: NDArray[np.float32],
    labeled_NM: NDArray[np.float32],
    scales: _Scales,
    rows: NDArray[np.int64],
    seed: int,
    label: str,
) -> nn.Module:
    """Fit a net on *rows*, the first of which decide when to stop; *labeled_NM* are the labels' log-probabilities."""
    held, fitted = np.split(rows, [max(1, len(rows) // HELD_BACK)])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _Net(features_NF.shape[1] + teachers_MNK.shape[0] * teachers_MNK.shape[2], len(teachers_MNK))
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)

    def weigh(rows_B: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the weights, [B, M], and the mixture's cross-entropy."""
        log_BM: Tensor = net(scales.inputs(features_NF, teachers_MNK, rows_B))
        return log_BM, -(log_BM + torch.from_numpy(labeled_NM[rows_B])).logsumexp(1).mean()

    def held_loss() -> float:
        with torch.no_grad():
            loss = float(weigh(held)[1])
        if not math.isfinite(loss):
            raise TrainingFailed(f"{label}: the loss is {loss}; check the inputs' scale and the teachers' logits.")
        return loss

    best, state, since = held_loss(), copy.deepcopy(net.state_dict()), 0
    for _ in tqdm(range(EPOCHS), desc=label, unit="epoch", disable=hidden(), leave=False):
        order = fitted[torch.randperm(len(fitted), generator=generator).numpy()]
        for start in range(0, len(order), BATCH):
            log_BM, loss = weigh(order[start : start + BATCH])
            entropy = -(log_BM.exp() * log_BM).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            (loss - ENTROPY * entropy).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        loss_now, since = held_loss(), since + 1
        if loss_now < best:
            best, state, since = loss_now, copy.deepcopy(net.state_dict()), 0
        if since == PATIENCE:
            break
    net.load_state_dict(state)
    return net.eval()


def cross_fit(
    features_NF: Tensor, teachers_MNK: NDArray[np.float32], labels_N: NDArray[np.int64], *, seed: int
) -> Attention:
    """Fit two nets, each on one half of the rows, so that each row is judged by the net that has not seen its label.

    The student learns from these weights on these very rows. A net fitted on them would learn their labels, and
    give each row the teacher that happens to be right about it, which no new row has; across the halves it can
    only learn what carries over.

    The teachers mostly were trained on these rows too and look better here than they are, one that memorizes most
    of all: on digits an unpruned tree, right about 87 % of new rows, took all the weight from a logistic regression,
    right about 98 %. No rows are left to mend that, since the validation rows are for choosing between students. So
    `Worth.pays` also asks for a lead over the best single teacher, which such a mixture cannot have, and the race
    has the last word.

    It runs on the CPU, on one thread, so that the weights do not depend on the device.

    Args:
        features_NF: of the training rows without augmentation, from `compact`.
        teachers_MNK: logits, [M, N, K].
        labels_N: [N].
        seed: of the halves, the nets and the order of the rows; torch's own generator stays as it is.

    Raises:
        BadData: fewer than 4 rows.
        TrainingFailed: features or logits are not finite.
    """
    if len(labels_N) < LEAST_ROWS:
        raise BadData(f"attention over teachers has {len(labels_N)} rows to learn from; {LEAST_ROWS} are needed.")
    features_NF = features_NF.float().cpu()
    scales = _scales(features_NF, teachers_MNK)
    labeled_NM = label_log_probabilities(teachers_MNK, labels_N).astype(np.float32)
    # By number alone: halves of equal classes would let a row's label move it to the other net.
    order = np.random.default_rng(seed).permutation(len(labels_N))
    judge_N = np.empty(len(labels_N), np.int64)
    nets = []
    for number in range(FOLDS):
        judge_N[order[number::FOLDS]] = number
        seen = order[1 - number :: FOLDS]
        label = f"attention over {len(teachers_MNK)} teachers, half {number + 1} of {FOLDS}"
        with on_threads(THREADS):
            nets.append(_fit(features_NF, teachers_MNK, labeled_NM, scales, seen, seed * FOLDS + number, label))
    return Attention(nets=tuple(nets), judge=judge_N, scales=scales)
