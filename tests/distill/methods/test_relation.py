"""Laws of the losses on relations between rows."""

import numpy as np
import pytest
import torch

from hpmkd_edge.distill.methods.relation import ANGLE_ROWS, angles, relative_distances, rkd, similarity_preserving
from hpmkd_edge.distill.methods.table import FEATURE_METHODS


def features(*shape, rows=6, seed=0):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))


def rotation(size):
    return torch.linalg.qr(features(size, rows=size, seed=9))[0]


def huber(difference):
    return 0.5 * difference**2 if abs(difference) < 1 else abs(difference) - 0.5


def naive_rkd(student, teacher, limit):
    """Park et al. by loops over pairs, and over triples of the first *limit* rows."""
    sets = [x.double().numpy() for x in (student, teacher)]
    sets = [x.mean((2, 3)) if x.ndim == 4 else x for x in sets]
    rows = len(sets[0])
    pairs = [(i, j) for i in range(rows) for j in range(rows) if i != j]
    ours, theirs = ({pair: np.linalg.norm(x[pair[0]] - x[pair[1]]) for pair in pairs} for x in sets)
    means = [np.mean(list(found.values())) for found in (ours, theirs)]
    distance = np.mean([huber(ours[pair] / means[0] - theirs[pair] / means[1]) for pair in pairs])

    def cosine(x, i, j, k):
        return (x[i] - x[j]) @ (x[k] - x[j]) / np.linalg.norm(x[i] - x[j]) / np.linalg.norm(x[k] - x[j])

    some = range(min(rows, limit))
    triples = [(i, j, k) for i in some for j in some for k in some if len({i, j, k}) == 3]
    angle = np.mean([huber(cosine(sets[0], *triple) - cosine(sets[1], *triple)) for triple in triples])
    return distance + 2 * angle


def naive_sp(student, teacher):
    """Tung & Mori by loops over pairs."""
    found = []
    for rows in (student.double().numpy(), teacher.double().numpy()):
        products = [[float((a * b).sum()) for b in rows] for a in rows]
        found.append([[value / np.sqrt(sum(x**2 for x in line)) for value in line] for line in products])
    count = len(student)
    return sum((found[0][i][j] - found[1][i][j]) ** 2 for i in range(count) for j in range(count)) / count**2


@pytest.mark.parametrize(("student_shape", "teacher_shape"), [((5,), (8,)), ((5, 4, 4), (8, 3, 2)), ((5, 4, 4), (8,))])
def test_relations_agree_with_their_slow_twins(student_shape, teacher_shape):
    """RKD on means over places, SP on flattened maps; of any widths."""
    student, teacher = features(*student_shape, rows=7, seed=1), features(*teacher_shape, rows=7)

    torch.testing.assert_close(
        rkd(student, teacher).double(), torch.tensor(naive_rkd(student, teacher, 64)), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(
        similarity_preserving(student, teacher).double(), torch.tensor(naive_sp(student, teacher)), rtol=1e-5, atol=1e-7
    )


def test_rkd_sees_neither_rotation_nor_shift_nor_scale():
    """Relative distances and angles are what a similarity transform keeps."""
    student, teacher = features(5, seed=1), features(8)
    moved = 7 * student @ rotation(5) + 3

    torch.testing.assert_close(relative_distances(moved), relative_distances(student), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(angles(moved), angles(student), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rkd(moved, teacher), rkd(student, teacher), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rkd(moved, student), torch.zeros(()), rtol=0, atol=1e-6)


def test_rkd_sees_what_is_no_similarity():
    """One axis stretched."""
    student = features(5)

    assert rkd(student * torch.tensor([4.0, 1, 1, 1, 1]), student) > 1e-2


def test_sp_sees_neither_rotation_nor_scale_but_a_shift():
    """Products of rows are kept by an orthogonal map alone; the norm of a line takes the scale."""
    student, teacher = features(5, seed=1), features(8)

    torch.testing.assert_close(
        similarity_preserving(5 * student @ rotation(5), teacher),
        similarity_preserving(student, teacher),
        rtol=1e-4,
        atol=1e-6,
    )
    assert similarity_preserving(student + 1, student) > 1e-3


def test_relative_distances_have_a_mean_of_one():
    """So that neither side's scale counts."""
    torch.testing.assert_close(relative_distances(features(5)).mean(), torch.ones(()))


def test_angles_count_for_the_first_rows_alone():
    """Beyond them a row matters by its distances: memory of N³ is bounded."""
    rows = ANGLE_ROWS + 6
    student, teacher = features(3, rows=rows, seed=1), features(4, rows=rows)
    distances = torch.nn.functional.huber_loss(relative_distances(student), relative_distances(teacher))
    some_distances = torch.nn.functional.huber_loss(
        relative_distances(student[:ANGLE_ROWS]), relative_distances(teacher[:ANGLE_ROWS])
    )
    angle_part = rkd(student[:ANGLE_ROWS], teacher[:ANGLE_ROWS]) - some_distances

    torch.testing.assert_close(rkd(student, teacher), distances + angle_part)


def test_no_tensor_of_a_large_batch_grows_with_the_cube_of_its_rows():
    """Of 256 rows the angles alone would be 16 million numbers, saved several times for the gradient."""
    saved = []
    student = features(16, rows=256, seed=1).requires_grad_()

    def pack(tensor):
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        rkd(student, features(32, rows=256)).backward()

    assert max(saved) < 256**3 / 16
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("name", ["rkd", "sp"])
@pytest.mark.parametrize("rows", [1, 2])
def test_very_small_batches_have_a_finite_loss(name, rows):
    """One row has no relations, two have no angle."""
    student = features(5, rows=rows, seed=1).requires_grad_()
    loss = FEATURE_METHODS[name].loss(student, features(8, rows=rows))
    loss.backward()

    assert student.grad.isfinite().all()
    assert loss.isfinite()
    assert rows > 1 or loss < 1e-12


def test_equal_rows_get_a_gradient_of_reasonable_size():
    """Two copies of a row are at distance 0 and in no direction from each other."""
    student = features(5, seed=1)
    student[3] = student[2]
    student.requires_grad_()
    rkd(student, features(8)).backward()

    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e3
