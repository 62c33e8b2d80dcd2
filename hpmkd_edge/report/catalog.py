"""Targets as text, for `targets list` and `targets show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpmkd_edge.targets import Limit, Target


def targets_as_text(targets: Mapping[str, Target]) -> str:
    """Return a line for each target: name, runtime, device."""
    return _columns([(name, target.runtime, target.device.description) for name, target in targets.items()])


def target_as_text(target: Target) -> str:
    """Return a target's device with its facts, how it is run, and its budgets."""
    device = target.device
    facts = [
        ("target", target.name),
        ("device", f"{device.name}: {device.description}"),
        ("recognized by", ", ".join(device.identity)),
        ("memory", "" if device.memory_mb is None else f"{device.memory_mb:g} MB"),
        ("bandwidth", "" if device.bandwidth_gb_s is None else f"{device.bandwidth_gb_s:g} GB/s"),
        ("power modes", ", ".join(device.power_modes)),
        ("facts", f"{device.status}; {device.source}"),
        ("runtime", target.runtime),
        ("precisions", ", ".join(target.precisions)),
        ("threads", f"{target.threads}"),
        ("power mode", target.power_mode or ""),
        ("host", target.host or ""),
    ]
    return _columns([(name, text) for name, text in (*facts, *_budgets(target)) if text])


def _budgets(target: Target) -> list[tuple[str, str]]:
    budgets = target.budgets
    found = [(f"latency_ms.{entry.percentile}", _limit(entry.limit, "ms")) for entry in budgets.latency_ms]
    for name, limit, unit in (
        ("peak_memory_mb", budgets.peak_memory_mb, "MB"),
        ("model_size_mb", budgets.model_size_mb, "MB"),
        ("engine_build_s", budgets.engine_build_s, "s"),
    ):
        if limit is not None:
            found.append((name, _limit(limit, unit)))
    if budgets.placement is not None:
        warn = budgets.placement.warn_macs_share
        least = f"at least {budgets.placement.min_macs_share:g} of the multiply-adds"
        found.append(("placement", least if warn is None else f"{least}, warn below {warn:g}"))
    for score, asked in (("accuracy", budgets.accuracy), ("r2", budgets.r2)):
        if asked is None:
            continue
        parts = []
        if asked.min is not None:
            parts.append(f"at least {asked.min:g}")
        if asked.max_drop is not None:
            also = " (of values in R²)" if score == "accuracy" and budgets.r2 is None else ""
            parts.append(f"at most {asked.max_drop:g} below the best teacher{also}")
        found.append((score, ", ".join(parts)))
    if budgets.accuracy_for_size is not None:
        points = ", ".join(f"{one.min:g} at {one.model_size_mb:g} MB" for one in budgets.accuracy_for_size)
        found.append(("accuracy_for_size", f"at least {points}"))
    if budgets.mae is not None:
        found.append(("mae", f"at most {budgets.mae.max:g}, in the label's units"))
    return found


def _limit(limit: Limit, unit: str) -> str:
    parts = []
    if limit.fail is not None:
        parts.append(f"at most {limit.fail:g} {unit}")
    if limit.warn is not None:
        parts.append(f"warn above {limit.warn:g} {unit}")
    return ", ".join(parts)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
