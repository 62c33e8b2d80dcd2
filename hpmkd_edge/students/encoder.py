"""A transformer encoder of BERT's plan (Devlin et al. 2019, arXiv 1810.04805) with factorized embeddings.

Pieces are embedded in few dimensions and projected to the width, as in ALBERT (Lan et al. 2020, arXiv 1909.11942).
"""

# Shape suffixes: N = rows, T = pieces of the longest row, H = width, A = heads of attention, V = values of each, K =
# classes, 1 = spread.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from hpmkd_edge.students.embedding import directions, embed, start_embedding
from hpmkd_edge.students.family import Shape, Size, pieces_of
from hpmkd_edge.students.origin import Origin
from hpmkd_edge.students.pooling import LOWEST, mean_over, real
from hpmkd_edge.students.rungs import build_seeded, sorted_rungs

RUNGS: Final = (
    (16, 1), (16, 2), (32, 1), (32, 2), (48, 1), (48, 2), (64, 1), (64, 2), (80, 2), (96, 2), (112, 2), (128, 2),
    (128, 3), (160, 2), (160, 3), (192, 3), (192, 4), (224, 4), (256, 4), (384, 2), (288, 4), (384, 3), (384, 4),
    (384, 5), (384, 6), (512, 4),
)  # fmt: skip
HEAD: Final = 16  # values of one head of attention, unless an origin of the same width has others
WIDENING: Final = 4  # units between the two linear layers, over the width; an origin of the same width has its own
NARROWING: Final = 4  # width over the dimensions of embeddings
FEWEST_DIMENSIONS: Final = 8
DROPOUT: Final = 0.1
# Where an origin keeps what, by the names of `transformers.BertModel`.
OF_BERT: Final = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "mixed_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "outer_norm": "output.LayerNorm",
}
INNER_BIAS: Final = "encoder.layer.0.intermediate.dense.bias"


@fx.wrap
def attend(query_NATV: Tensor, key_NATV: Tensor, value_NATV: Tensor, bias_N11T: Tensor) -> Tensor:
    """Return what each piece takes from the others, [N, A, T, V]: `softmax(q·kᵀ / √V + bias)·v` of each of A heads.

    As PyTorch's fused attention, whose gradient in bfloat16 takes ten times as long on CPUs at 16 pieces. One node of
    a graph, as that is: what int8 rounds is around it.
    """
    scores_NATT = query_NATV @ key_NATV.transpose(2, 3) * query_NATV.shape[3] ** -0.5
    mixed_NATV: Tensor = (scores_NATT.float() + bias_N11T).softmax(3).to(value_NATV.dtype) @ value_NATV
    return mixed_NATV


class Layer(nn.Module):
    """Attention, then two linear layers with a GELU between them; a shortcut and a norm after each."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mixed, self.mixed_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.outer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x_NTH: Tensor, bias_N11T: Tensor) -> Tensor:
        query, key, value = (
            part(x_NTH).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = attend(query, key, value, bias_N11T)
        x_NTH = self.mixed_norm(x_NTH + self.dropout(self.mixed(mixed.transpose(1, 2).flatten(2))))
        leaving: Tensor = self.outer_norm(x_NTH + self.dropout(self.outer(functional.gelu(self.inner(x_NTH)))))
        return leaving


class EncoderText(nn.Module):
    """Embeddings, their projection and places, *depth* layers, the mean over the pieces, a linear head."""

    def __init__(self, shape: Shape, pieces: int, width: int, depth: int) -> None:
        super().__init__()
        origin = _origin_of(shape, width)
        self.embedding = embed(pieces, max(FEWEST_DIMENSIONS, width // NARROWING))
        self.projection = nn.Linear(self.embedding.embedding_dim, width)
        # A random one would be larger than what it is added to, and the norm after it would pass on little else.
        nn.init.zeros_(self.projection.bias)
        self.places = nn.Embedding(shape.features[0], width)
        nn.init.normal_(self.places.weight, std=0.02)
        self.norm = nn.LayerNorm(width)
        heads = width // HEAD if origin is None else origin.heads
        inner = WIDENING * width if origin is None else len(origin.weights[INNER_BIAS])
        self.layers = nn.ModuleList(Layer(width, heads, inner) for _ in range(depth))
        self.head = nn.Linear(width, shape.classes)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids_NT: Tensor) -> Tensor:
        places_T = torch.arange(ids_NT.shape[1], device=ids_NT.device)
        x_NTH = self.projection(self.embedding(ids_NT)) + self.places(places_T)
        x_NTH = self.dropout(self.norm(x_NTH))
        real_NT = real(ids_NT, x_NTH)
        # Finite, so that a row of padding alone has a softmax too; its mean is zero whatever that gives.
        bias_N11T = (1 - real_NT)[:, None, None] * LOWEST
        for layer in self.layers:
            x_NTH = layer(x_NTH, bias_N11T)
        logits_NK: Tensor = self.head(self.dropout(mean_over(x_NTH, real_NT)))
        return logits_NK


def _origin_of(shape: Shape, width: int) -> Origin | None:
    """Return the origin whose layers a student of *width* can take: one of BERT's plan, of the same width."""
    origin = None if shape.lexicon is None else shape.lexicon.origin
    return origin if origin is not None and origin.weights and origin.vectors.shape[1] == width else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """*depth* layers of *width*, embeddings of a quarter of it, at least 8."""

    name: str = "encoder"
    digest: str = "encoder-1"

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return the sizes for *shape*, fewest parameters first.

        Raises:
            BadStudent: the task has no texts.
        """
        pieces = pieces_of(shape, self.name)
        return sorted_rungs(self.name, RUNGS, lambda width, depth: EncoderText(shape, pieces, width, depth))

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return a module from ids [N, T], T <= L, to logits [N, K]; it begins from the lexicon's origin.

        Its embeddings do in any case; places, projection and layers do where the origin is as wide.

        Raises:
            BadStudent: the task has no texts.
        """
        pieces = pieces_of(shape, self.name)
        module = build_seeded(lambda: EncoderText(shape, pieces, size.width, size.depth), seed)
        factor = start_embedding(module.embedding, shape.lexicon)
        if shape.lexicon is not None and _origin_of(shape, size.width) is not None:
            start = dict(_started(module, shape, factor))
            with torch.no_grad():
                module.load_state_dict(start, strict=False)
        return module


def _started(module: EncoderText, shape: Shape, factor: float) -> Iterator[tuple[str, Tensor]]:
    """Yield what *module* takes from an origin of its width: layers spread evenly over the origin's, in their order."""
    lexicon, origin = shape.lexicon, _origin_of(shape, module.head.in_features)
    assert lexicon is not None
    assert origin is not None
    weights = {name: torch.from_numpy(value) for name, value in origin.weights.items()}
    found, rank = directions(lexicon), module.embedding.embedding_dim
    # Back from the leading directions to the origin's own dimensions.
    yield "projection.weight", torch.from_numpy(found.axes[:rank].T / factor)
    yield "projection.bias", torch.from_numpy(found.mean) + weights["embeddings.token_type_embeddings.weight"][0]
    # The origin has [CLS] in place 0, a student its first piece.
    places, known = module.places.weight.detach().clone(), weights["embeddings.position_embeddings.weight"][1:]
    places[: len(known)] = known[: len(places)]
    yield "places.weight", places
    for end in ("weight", "bias"):
        yield f"norm.{end}", weights[f"embeddings.LayerNorm.{end}"]
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    for number in range(len(module.layers)):
        picked = (2 * number + 1) * layers // (2 * len(module.layers))
        for own, other in OF_BERT.items():
            for end in ("weight", "bias"):
                yield f"layers.{number}.{own}.{end}", weights[f"encoder.layer.{picked}.{other}.{end}"]
