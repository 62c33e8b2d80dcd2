"""Families that read ids: their ladders, their answers, their starts, their export."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sample_encoders import write_encoder
from sample_lexicons import lexicon
from sample_texts import sentences, text_task
from torch.export import Dim, export

from hpmkd_edge.distill.taps import tap_of
from hpmkd_edge.errors import BadStudent
from hpmkd_edge.students.choose import FAMILIES, open_family
from hpmkd_edge.students.effort import effort_of
from hpmkd_edge.students.encoder import attend
from hpmkd_edge.students.family import Shape, Size, count_parameters
from hpmkd_edge.students.inherit import begin, inherited
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.students.lexicon import lexicon_of
from hpmkd_edge.students.stand_in import stand_in
from hpmkd_edge.tasks.task import Texts

NAMES = ("gated", "bag", "encoder")
SHAPE = Shape(features=(16,), classes=3, lexicon=lexicon())
IMAGES, TABLE = Shape(features=(3, 8, 8), classes=3), Shape(features=(5,), classes=3)
IDS = torch.randint(1, 300, (4, 12), generator=torch.Generator().manual_seed(0))


def built(name, width=32, depth=2, shape=SHAPE, seed=0):
    """Return a student with all weights uneven, the linear bag's too, which begins at zero."""
    return stand_in(FAMILIES[name], Size(family=name, width=width, depth=depth, parameters=0), shape, seed).eval()


@pytest.mark.parametrize(("kind", "atol"), [(torch.float32, 1e-6), (torch.bfloat16, 0.03)])
def test_attention_is_that_of_torch(kind, atol):
    """Values and gradients, where some pieces are none."""
    draws = torch.Generator().manual_seed(1)
    parts = [torch.randn(2, 3, 7, 4, generator=draws).to(kind).requires_grad_() for _ in range(3)]
    bias = torch.where(torch.arange(7) < 5, 0.0, -1e4).expand(2, 1, 1, 7)
    answers = [
        attend(*parts, bias),
        torch.nn.functional.scaled_dot_product_attention(*parts, attn_mask=bias.to(kind)),
    ]
    own, torchs = (torch.autograd.grad(answer.float().square().sum(), parts) for answer in answers)

    for one, other in zip((answers[0], *own), (answers[1], *torchs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=atol if one is answers[0] else 10 * atol)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pieces", [300, 1000, 7000, 8000, 30_522])
def test_a_ladder_rises_for_any_vocabulary(name, pieces):
    """Strictly."""
    counts = [size.parameters for size in FAMILIES[name].ladder(replace(SHAPE, lexicon=lexicon(pieces)))]

    assert all(smaller < larger for smaller, larger in pairwise(counts))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pieces", [7000, 8000])
def test_a_ladder_goes_from_50_thousand_to_15_million_and_uses_the_budgets_between(name, pieces):
    """Of 250 K, 1 M and 5 M parameters at least 85 %; no gap is above a factor of 1.5."""
    shape = Shape(features=(48,), classes=2, lexicon=lexicon(pieces))
    counts = [size.parameters for size in FAMILIES[name].ladder(shape)]

    assert counts[0] < 75_000
    assert 12e6 < counts[-1] < 15e6
    for budget in (250_000, 1_000_000, 5_000_000):
        assert max(count for count in counts if count <= budget) > 0.85 * budget
    assert max(larger / smaller for smaller, larger in pairwise(counts)) < 1.5


@pytest.mark.parametrize("name", NAMES)
def test_a_built_size_has_the_parameters_that_the_ladder_says(name):
    """Also with an origin, whose layers may be of another shape."""
    for shape in (SHAPE, replace(SHAPE, lexicon=lexicon(dimensions=24))):
        for size in FAMILIES[name].ladder(shape)[:6]:
            assert count_parameters(FAMILIES[name].build(size, shape, 0)) == size.parameters


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_weights(name):
    """Same seed same weights, other seed others; torch's own state untouched."""
    before = torch.random.get_rng_state()
    size = FAMILIES[name].ladder(SHAPE)[2]
    one, same, other = (FAMILIES[name].build(size, SHAPE, seed).eval()(IDS) for seed in (1, 1, 2))

    assert one.shape == (4, 3)
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pieces", [1, 2, 3, 12])
def test_padding_does_not_change_an_answer(name, pieces):
    """However long the longest row of the batch is."""
    module, ids = built(name), IDS[:, :pieces]
    with torch.inference_mode():
        plain, padded = module(ids), module(torch.nn.functional.pad(ids, (0, 16 - pieces)))

    torch.testing.assert_close(plain, padded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_neighbors(name):
    """Nor on the order of a batch."""
    module = built(name)
    with torch.inference_mode():
        together, alone = module(IDS), torch.cat([module(row[None]) for row in IDS])

    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_row_of_no_pieces_has_one_finite_answer(name, pieces):
    """For an empty sentence; in training its gradient is finite too."""
    module = built(name)
    empty = module(torch.zeros((2, pieces), dtype=torch.int64))
    module.train()(torch.zeros((2, pieces), dtype=torch.int64)).square().sum().backward()

    assert bool(empty.isfinite().all())
    torch.testing.assert_close(empty, module.eval()(torch.zeros((2, 3), dtype=torch.int64)))
    assert all(bool(one.grad.isfinite().all()) for one in module.parameters() if one.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_pieces_matters(name):
    """They are no bags of words alone."""
    module = built(name, depth=3 if name == "bag" else 2)
    with torch.inference_mode():
        assert not torch.allclose(module(IDS), module(IDS.flip(1)), atol=1e-4)


@pytest.mark.parametrize("name", ["gated", "bag"])
def test_a_student_learns_what_a_denial_does(name):
    """A word alone tells seven sentences of ten."""
    task = text_task(train=600, validation=200)
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES[name].build(Size(family=name, width=32, depth=1, parameters=0), shape, 0).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    features, labels = inlet.open(inlet.store(task.train.inputs)), torch.from_numpy(task.train.labels)
    torch.manual_seed(0)
    for _ in range(12):
        for rows in torch.randperm(len(labels)).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(features[rows]), labels[rows]).backward()
            optimizer.step()
    with torch.inference_mode():
        answers = module.eval()(inlet.open(inlet.store(task.validation.inputs))).argmax(1).numpy()

    assert (answers == task.validation.labels).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_module_exports_with_any_number_of_rows_and_of_pieces(name):
    """One graph for all lengths: nothing depends on values."""
    module = built(name, depth=3 if name == "bag" else 2)
    rows, pieces = Dim("rows", min=1), Dim("pieces", min=1, max=16)
    program = export(module, (IDS,), dynamic_shapes=({0: rows, 1: pieces},)).module()
    for ids in (IDS, IDS[:1], IDS[:, :1], IDS[:2, :5]):
        torch.testing.assert_close(program(ids), module(ids), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gated", "bag"])
def test_embeddings_begin_as_the_leading_directions_of_an_origin(name):
    """Whatever the seed; all else is drawn by it."""
    shape = replace(SHAPE, lexicon=lexicon(dimensions=24))
    size = Size(family=name, width=8, depth=2, parameters=0)
    one, other = (FAMILIES[name].build(size, shape, seed) for seed in (0, 1))

    torch.testing.assert_close(one.embedding.weight, other.embedding.weight, rtol=0, atol=0)
    assert not torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize(("name", "small", "large"), [("gated", 8, 24), ("bag", 8, 24), ("encoder", 32, 64)])
def test_a_smaller_student_inherits_from_a_larger_one(name, small, large):
    """Embeddings unscaled; the answer is of the same order."""
    shape = replace(SHAPE, lexicon=lexicon(dimensions=24))
    student, larger = built(name, small, 2, shape, seed=1), built(name, large, 2, shape)
    start = inherited(student, larger, "larger")
    begin(student, start)
    with torch.inference_mode():
        ratio = float(student(IDS).std() / larger(IDS).std())

    assert start.weights.keys() == student.state_dict().keys()
    width = student.embedding.embedding_dim
    torch.testing.assert_close(student.embedding.weight, larger.embedding.weight[:, :width], rtol=0, atol=0)
    assert 0.1 < ratio < 10


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Return a BERT with four layers of 32, the shape of students that begin from it, and its folder's sentences."""
    folder = write_encoder(tmp_path_factory.mktemp("encoder"), num_hidden_layers=4, hidden_dropout_prob=0.0)
    texts = Texts.of(sentences(300)[0])
    return folder, Shape(features=(16,), classes=2, lexicon=lexicon_of(texts, folder=folder))


def test_an_encoder_of_the_same_width_picks_layers_spread_over_the_origin(begun):
    """Two of four are the second and the last but none: 1 and 3."""
    _, shape = begun
    module = built_as_is(shape, 2)
    weights = shape.lexicon.origin.weights
    for number, picked in enumerate((1, 3)):
        np.testing.assert_array_equal(
            module.layers[number].query.weight.detach(),
            weights[f"encoder.layer.{picked}.attention.self.query.weight"],
        )
    np.testing.assert_array_equal(module.places.weight.detach(), weights["embeddings.position_embeddings.weight"][1:17])


def built_as_is(shape, depth):
    size = Size(family="encoder", width=32, depth=depth, parameters=0)
    return FAMILIES["encoder"].build(size, shape, 0).eval()


def test_an_encoder_of_all_layers_answers_as_the_origin_does_but_for_its_narrow_embeddings(begun):
    """Given the embeddings of its rank, transformers' own BERT gives the same states."""
    from transformers import BertModel

    folder, shape = begun
    module = built_as_is(shape, 4)
    ids = torch.randint(1, shape.lexicon.pieces, (3, 9), generator=torch.Generator().manual_seed(1))
    ids[1, 5:] = 0
    mask = (ids != 0).long()
    bert = BertModel.from_pretrained(folder).eval()
    known = bert.get_input_embeddings().weight.shape[1]
    token_type = bert.embeddings.token_type_embeddings.weight[0]
    with torch.inference_mode():
        narrow = module.projection(module.embedding(ids)) - token_type
        places = torch.arange(1, 10)[None]
        wanted = bert(inputs_embeds=narrow, attention_mask=mask, position_ids=places).last_hidden_state
        mean = (wanted * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)

        assert known == 32
        torch.testing.assert_close(module(ids), module.head(mean), rtol=1e-4, atol=1e-5)


def test_narrow_embeddings_are_the_origin_s_as_far_as_their_rank_goes(begun):
    """Projected back, they are nearer to its vectors than the mean is."""
    _, shape = begun
    module, vectors = built_as_is(shape, 1), torch.from_numpy(shape.lexicon.origin.vectors[1:])
    token_type = torch.from_numpy(shape.lexicon.origin.weights["embeddings.token_type_embeddings.weight"][0])
    with torch.inference_mode():
        back = module.projection(module.embedding.weight[1:]) - token_type
    missed, spread = (back - vectors).norm(), (vectors - vectors.mean(0)).norm()
    singular = torch.linalg.svdvals(vectors - vectors.mean(0))

    torch.testing.assert_close(missed, singular[8:].norm(), rtol=1e-3, atol=1e-5)
    assert missed < spread


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_shape_is_what_its_modules_take(name):
    """Floats of features, ids of texts; counting work runs on it."""
    effort = effort_of(FAMILIES[name], FAMILIES[name].ladder(SHAPE)[2], SHAPE)

    assert SHAPE.example(2).dtype == torch.int64
    assert SHAPE.example(2).shape == (2, 16)
    assert IMAGES.example(2).shape == (2, 3, 8, 8)
    assert effort.macs > 0


def test_looking_up_an_embedding_is_no_multiplication():
    """A vocabulary of twice the size does the same work."""
    size = Size(family="gated", width=8, depth=1, parameters=0)
    one, other = (effort_of(FAMILIES["gated"], size, replace(SHAPE, lexicon=lexicon(n))) for n in (300, 600))

    assert one == other
    assert one.macs == 16 * (8 * 16 + 16 * 32 * 3) + 32 * 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "message"), [(IMAGES, "is images: use --student residual"), (TABLE, "student mlp")])
def test_a_text_family_refuses_other_rows(name, shape, message):
    """It says what to use."""
    with pytest.raises(BadStudent, match=message):
        FAMILIES[name].ladder(shape)


@pytest.mark.parametrize("name", ["mlp", "residual", "depthwise"])
def test_other_families_refuse_text(name):
    """They would take ids for measures."""
    with pytest.raises(BadStudent, match="this task is text: use --student gated"):
        FAMILIES[name].ladder(SHAPE)


def test_gated_is_the_family_of_text_where_none_is_asked_for():
    """As residual is of images."""
    assert open_family(None, text_task()).name == "gated"


def test_a_user_s_function_builds_text_students(tmp_path):
    """It gets the most pieces of a row as features, and the size of the vocabulary where it names it."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, width, features, classes, pieces):\n"
        "        super().__init__()\n"
        "        assert features == (16,)\n"
        "        self.table, self.head = nn.EmbeddingBag(pieces, width), nn.Linear(width, classes)\n"
        "    def forward(self, ids):\n"
        "        return self.head(self.table(ids))\n"
    )
    family = open_family(f"{file}:Net", text_task())

    assert family.ladder(SHAPE)[0].parameters == 300 * 4 + 4 * 3 + 3


@pytest.mark.parametrize("name", NAMES)
def test_stages_by_features_find_a_vector_in_every_family(name):
    """What the head reads, not a summand of the answer; at every depth."""
    for depth in (1, 2, 3):
        tap, shape = tap_of(built(name, depth=depth), IDS, None, "student")

        assert tap == "dropout"
        assert len(shape) == 1
        assert shape[0] > 3
