"""Plans of a step compute the same up to rounding, and the simplest of the fast ones is chosen."""

import copy

import pytest
import torch
from torch.nn import functional

from hpmkd_edge.distill.cuda_graph import captured_step
from hpmkd_edge.distill.step import (
    PLAIN,
    Rate,
    StepPlan,
    align_state,
    batches,
    epoch_order,
    forward,
    is_small,
    on_threads,
    preferred,
    prepared,
    probe_step,
    threads_for,
)
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape
from hpmkd_edge.students.inlet import ImageInlet

SHAPE = Shape(features=(3, 16, 16), classes=4)
LAST = StepPlan(channels_last=True)
FAST = StepPlan(channels_last=True, bf16=True)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _alone():
    """Threads that wait for each other beside other work take longer than the work."""
    with on_threads(1):
        yield


def student(seed=0):
    family = FAMILIES["residual"]
    return family.build(family.ladder(SHAPE)[0], SHAPE, seed)


def features(rows=8, side=16):
    return torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(1))


def gradients(plan):
    module = student().train()
    logits = forward(prepared(module, plan), features(), plan)
    functional.cross_entropy(logits, torch.arange(8) % 4).backward()
    return logits.detach(), torch.cat([parameter.grad.reshape(-1) for parameter in module.parameters()])


def test_the_memory_format_changes_nothing_but_rounding():
    """Logits and gradients alike."""
    for found, wanted in zip(gradients(LAST), gradients(PLAIN), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_float32_logits_and_the_gradient_s_direction():
    """Eight bits of mantissa: a few percent."""
    (found, slope), (wanted, exact) = gradients(FAST), gradients(PLAIN)

    assert found.dtype == slope.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.1)
    assert functional.cosine_similarity(slope, exact, dim=0) > 0.98


def test_preparing_keeps_weights_and_names_and_can_be_undone():
    """What is saved and exported does not know the plan."""
    module, fresh = student(), student()
    weights = dict(prepared(module, FAST).named_parameters())
    assert weights["stem.weight"].is_contiguous(memory_format=torch.channels_last)
    prepared(module, PLAIN)

    assert list(module.state_dict()) == list(fresh.state_dict())
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=0, atol=0)
        assert module.state_dict()[name].is_contiguous()


@pytest.mark.parametrize("plan", [PLAIN, FAST])
@pytest.mark.parametrize("rows", [5, 8, 19])
def test_batches_are_the_full_ones_of_an_order(rows, plan):
    """Each row once, the rest of an epoch left out, and one batch of all rows where there are fewer than a batch."""
    inlet = ImageInlet(mean=(0.5,) * 3, deviation=(0.2,) * 3, sides=(4, 4))
    stored = torch.randint(0, 256, (rows, 3, 4, 4), dtype=torch.uint8)
    order = torch.randperm(rows)
    found = list(batches(inlet, stored, order, 8, plan))

    assert torch.equal(torch.cat([rows_B for rows_B, _ in found]), order[: rows // 8 * 8 or rows])
    for rows_B, opened in found:
        assert torch.equal(opened, inlet.open(stored[rows_B]))
        assert not plan.channels_last or opened.is_contiguous(memory_format=torch.channels_last)


def trained(plans, state=None, align=True):
    """Train a step in each of *plans*, the optimizer's state saved and loaded between them."""
    module = student().train()
    for plan in plans:
        prepared(module, plan)
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, fused=True)
        if state is not None:
            optimizer.load_state_dict(state)
            if align:
                align_state(optimizer)
        functional.cross_entropy(forward(module, features(), plan), torch.arange(8) % 4).backward()
        optimizer.step()
        optimizer.zero_grad()
        state = copy.deepcopy(optimizer.state_dict())
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])


def test_moments_follow_their_weights_into_another_memory_format():
    """The fused optimizer would pair them by place: without aligning, wrong weights come out and nothing is said."""
    unbroken = trained([PLAIN, PLAIN, PLAIN])

    torch.testing.assert_close(trained([PLAIN, LAST, LAST]), unbroken, rtol=0, atol=2e-3)
    assert (trained([PLAIN, LAST, LAST], align=False) - unbroken).abs().max() > 5e-3


@pytest.mark.parametrize(
    ("plan", "batch", "threads", "wanted"),
    [(LAST, 256, 6, 4), (LAST, 131, 2, 1), (FAST, 256, 2, 2), (PLAIN, 131, 2, 2)],
)
def test_threads_divide_a_batch_in_channels_last(plan, batch, threads, wanted):
    """Else the gradient of a strided 1×1 convolution is written past its memory."""
    assert threads_for(plan, batch, threads) == wanted


def test_the_simpler_plan_wins_near_ties():
    """A tenth faster is needed, each time against the simpler plan that was kept."""
    plain, last, fast = (Rate(plan=plan, rows_per_s=1.0) for plan in (PLAIN, LAST, FAST))

    def chosen(*speeds):
        rates = [Rate(plan=one.plan, rows_per_s=speed) for one, speed in zip((plain, last, fast), speeds, strict=True)]
        return preferred(rates).plan

    assert chosen(100, 109, 109) == PLAIN
    assert chosen(100, 109, 111) == FAST
    assert chosen(100, 111, 121) == LAST
    assert chosen(100, 50, 90) == PLAIN


def test_short_trainings_are_plain_without_a_probe():
    """The module is not even made."""
    probe = probe_step(lambda: pytest.fail("made"), features(8), 4, device=CPU, steps_planned=10)

    assert (probe.plan, probe.rates) == (PLAIN, ())
    assert "not worth a probe" in probe.sentence


def test_a_batch_is_small_by_its_numbers_and_one_of_texts_by_rows_and_parameters():
    """A row's ids are few whatever a student does with them."""
    assert is_small((3, 32, 32), 32, 10**9, text=False)
    assert not is_small((3, 32, 32), 64, 1, text=False)
    assert is_small((64,), 128, 250_000, text=True)
    assert not is_small((64,), 128, 15_000_000, text=True)


def test_a_probe_times_each_plan_and_leaves_torch_s_generator_alone():
    """What it chose is among what it tried."""
    before = torch.get_rng_state()
    probe = probe_step(student, features(131), 4, device=CPU, steps_planned=200)

    assert [rate.plan for rate in probe.rates] == [PLAIN, LAST, FAST]
    assert all(rate.rows_per_s > 0 for rate in probe.rates)
    assert probe.plan in [rate.plan for rate in probe.rates]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_student_that_cannot_be_compiled_is_trained_uncompiled_and_that_is_said(monkeypatch, caplog):
    """Inductor raises where its compiler does."""

    def gives_up(_module, *, dynamic):
        raise RuntimeError(f"no header\nand a long trace, dynamic {dynamic}")

    monkeypatch.setattr(torch, "compile", gives_up)
    monkeypatch.setenv("CXX", "sh")
    probe = probe_step(student, features(131), 4, device=CPU, steps_planned=10_000_000)

    assert not probe.plan.compiled
    assert "torch.compile gave up: no header" in caplog.text


def test_a_step_is_not_recorded_off_a_gpu():
    """It would not be one."""
    module = student()
    optimizer = torch.optim.AdamW(module.parameters())
    with pytest.raises(ValueError, match="on the cpu; a CUDA graph needs it on a GPU"):
        captured_step(module, optimizer, functional.cross_entropy, (features(),), longest_gradient=5.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records a CUDA graph")
def test_a_recorded_step_does_what_the_step_does():
    """From the same weights: recording leaves no trace, and each replay is one step at its own rate."""
    device = torch.device("cuda")
    labels = torch.arange(8, device=device) % 4

    def ends(record):
        module = student().to(device).train()
        rate = torch.tensor(1e-3, device=device)
        optimizer = torch.optim.AdamW(module.parameters(), lr=rate, fused=True, capturable=True)

        def loss_of(inputs, labels):
            return functional.cross_entropy(module(inputs), labels)

        captured = captured_step(module, optimizer, loss_of, (features().to(device), labels), longest_gradient=5.0)
        for number in range(3):
            inputs = features().to(device) * (number + 1)
            if record:
                captured(inputs, labels, rate=1e-3 * (number + 1))
                continue
            rate.fill_(1e-3 * (number + 1))
            optimizer.zero_grad(set_to_none=True)
            loss_of(inputs, labels).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()
        return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])

    torch.testing.assert_close(ends(record=True), ends(record=False), rtol=1e-3, atol=1e-4)


def test_the_order_of_rows_that_are_all_alike_is_the_seed_s_own():
    """What was trained before there were lengths is trained alike."""
    wanted = torch.randperm(100, generator=torch.Generator().manual_seed(5))

    assert torch.equal(epoch_order(100, 8, None, 5), wanted)
    assert torch.equal(epoch_order(8, 8, torch.arange(8), 5), epoch_order(8, 8, None, 5))


def test_batches_of_like_lengths_have_little_padding_and_every_row_at_most_once():
    """Within 50 batches; those of other epochs are others, and each length has its share of the first of them."""
    lengths = torch.randint(1, 60, (8_010,), generator=torch.Generator().manual_seed(0))
    order, again, other = (epoch_order(len(lengths), 16, lengths, draw) for draw in (1, 1, 2))
    sorted_B = lengths[order].view(-1, 16)
    drawn_B = lengths[epoch_order(len(lengths), 16, None, 1)[:8_000]].view(-1, 16)
    padding, usual = ((rows.amax(1, keepdim=True) - rows).float().mean() for rows in (sorted_B, drawn_B))

    assert torch.equal(order, again)
    assert not torch.equal(order, other)
    assert len(order) == len(order.unique()) == 8_000
    assert padding < 0.05 * usual
    assert abs(float(sorted_B[:125].float().mean()) - 30) < 4
