"""The gate's slow twin: from the plain values of a report and of budgets to the exit codes that may come out.

It shares no line with the package: a percentile's bound is summed up term by term, a curve walked point by point.
"""

from __future__ import annotations

import base64
import math
from collections import Counter

import yaml

PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}


def known_targets(*texts):
    """Return target names with device and budgets, later *texts* over earlier ones."""
    devices, targets = {}, {}
    for text in texts:
        found = yaml.safe_load(text)
        devices |= {str(name): {"name": str(name), **entry} for name, entry in (found.get("devices") or {}).items()}
        for name, entry in found["targets"].items():
            targets[str(name)] = {**entry, "name": str(name), "device": devices[entry["device"]]}
    return targets


def states(report, target):
    """Return the states of the budgets, and before them "impossible" where the report denies itself."""
    return [*([] if is_possible(report) and not is_denied(report) else ["impossible"]), *by_budget(report, target)]


def is_denied(report):
    """Tell whether the recorded outcomes are others than those of the recorded budgets."""
    words = {"met": "met", "warned": "met", "broken": "broken over", "inconclusive": "open over"}
    told = [words[one["outcome"]] for one in report["verdict"]["judgements"]]
    found = by_budget(report, report["judged_against"])
    return len(told) != len(found) or any(state not in word.split() for state, word in zip(found, told, strict=True))


def by_budget(report, target):
    """Return the state of each budget: "met", "broken", "open" (no number), or "over" (broken unless it is noise)."""
    budgets, profile, student = target["budgets"], report["profile"], report["student"]
    here, found = is_measured(profile, target), []
    for percentile, limit in latencies(budgets.get("latency_ms")):
        bound = upper_bound(profile["samples_ns"], PERCENTILES[percentile]) if here else None
        found.append(at_most(bound and bound / 1e6, limit, late="over"))
    if budgets.get("peak_memory_mb"):
        found.append(at_most(profile["peak_memory_mb"] if here else None, budgets["peak_memory_mb"]))
    size = student["cost"]["file_bytes"]
    if budgets.get("model_size_mb"):
        found.append(at_most(None if size is None else size / 1e6, budgets["model_size_mb"]))
    if budgets.get("placement"):
        found.append(at_least(profile["placement_share"] if here else None, budgets["placement"]["min_macs_share"]))
    if budgets.get("engine_build_s"):
        found.append(at_most(profile["engine_build_s"] if here else None, budgets["engine_build_s"]))
    found += quality(report, budgets)
    if budgets.get("accuracy_for_size"):
        least = None if size is None else on_curve(budgets["accuracy_for_size"], size / 1e6)
        found.append("open" if least is None else at_least(student["test_accuracy"], least))
    return found


def is_possible(report):
    """Tell whether each number that is judged is one that its kind can have, and none denies another."""
    profile, student, least = report["profile"], report["student"], 0.0
    if report["data"].get("goal") == "value":
        least = -math.inf
    size, share = student["cost"]["file_bytes"], profile["placement_share"]
    runs, memory = profile.get("runs") or [], report["judged_against"]["device"].get("memory_mb")
    amounts = [profile["peak_memory_mb"], profile["engine_build_s"], student.get("test_standard_error")]
    return (
        all(least <= one["test_accuracy"] <= 1 for one in (student, *report["teachers"]))
        and (size is None or 0 < size < 2**63)
        and all(0 < one < 2**63 for one in (*profile["samples_ns"], *profile["reference_ns"]))
        and (share is None or 0 <= share <= 1)
        and all(one is None or one >= 0 for one in amounts)
        and (memory is None or memory > 0)
        and size in (None, profile["model_bytes"])
        and len(profile["samples_ns"]) == len(profile["reference_ns"])
        and (not runs or (min(runs) > 0 and sum(runs) == len(profile["samples_ns"])))
        and (not report.get("answers") or add_up(report, report["answers"]))
    )


def add_up(report, answers):
    """Tell whether the answers are those of the recorded accuracies, row by row and class by class."""
    rows, right = report["data"]["test_rows"], bits(report).count("1")
    taught = answers["both_right"] + answers["teacher_alone_right"]
    return (
        [sum(one[key] for one in answers["classes"]) for key in ("rows", "student_right", "teacher_right")]
        == [answers["rows"], answers["both_right"] + answers["student_alone_right"], taught]
        == [rows, right, rows - answers["student_alone_right"] - answers["neither_right"]]
        and abs(right / rows - report["student"]["test_accuracy"]) < 1e-8
        and abs(taught / rows - best_teacher(report)["test_accuracy"]) < 1e-8
    )


def best_teacher(report):
    best = None
    for teacher in report["teachers"]:
        if best is None or teacher["validation_accuracy"] > best["validation_accuracy"]:
            best = teacher
    return best


def quality(report, budgets):
    """Return the states of what a student must be as good as."""
    score, best, found = report["student"]["test_accuracy"], best_teacher(report), []
    accuracy, r2, mae = budgets.get("accuracy") or {}, budgets.get("r2") or {}, budgets.get("mae") or {}
    if report["data"].get("goal", "classes") == "classes":
        asked, moot = accuracy, [r2, mae]
    else:
        asked, moot = (
            r2 or {"max_drop": accuracy.get("max_drop")},
            [accuracy if accuracy.get("min") is not None else {}],
        )
    floors = [] if asked.get("min") is None else [asked["min"]]
    if asked.get("max_drop") is not None:
        floors.append(best["test_accuracy"] - asked["max_drop"])
    if floors:
        found.append("broken" if any(at_least(score, floor) == "broken" for floor in floors) else "met")
    found += ["open" for one in moot if one]
    if mae and report["data"].get("goal") == "value":
        misses = report["student"].get("misses")
        found.append(at_most(misses and misses["mae"], {"fail": mae["max"]}))
    return found


def latencies(found):
    """Yield percentile and limit, as a file of targets or a report has them."""
    if isinstance(found, dict):
        yield from ((name, limit) for name, limit in found.items() if limit)
    else:
        yield from ((one["percentile"], one["limit"]) for one in found or ())


def is_measured(profile, target):
    device, host = target["device"], profile["host"]
    memory = device.get("memory_mb")
    fits = memory is None or 0.7 < host["memory_mb"] / memory < 1.2
    known = device["name"] == "host" or (fits and any(part in host["model"] for part in device.get("identity") or ()))
    mode = target.get("power_mode")
    return (
        known
        and profile["runtime"] == target["runtime"]
        and profile["threads"] == target.get("threads", 1)
        and (mode is None or mode == host["power_mode"])
    )


def upper_bound(samples, percentile):
    """Return the t-th highest sample; of a fair record at most 1 % have t or fewer runs beyond the percentile."""
    count, beyond, mass, t = len(samples), (100 - percentile) / 100, 0.0, -1
    for k in range(count + 1):
        mass += math.comb(count, k) * beyond**k * (1 - beyond) ** (count - k)
        if mass > 0.01 + 1e-12:
            break
        t = k
    return sorted(samples)[count - t] if t >= 1 else None


def on_curve(points, size):
    lower = [point for point in points if point["model_size_mb"] <= size]
    upper = [point for point in points if point["model_size_mb"] >= size]
    if not lower or not upper:
        return (lower or upper)[-1 if lower else 0]["min"]
    a, b = lower[-1], upper[0]
    if a["model_size_mb"] == b["model_size_mb"]:
        return a["min"]
    logs = [math.log(x) for x in (a["model_size_mb"], size, b["model_size_mb"])]
    return a["min"] + (b["min"] - a["min"]) * (logs[1] - logs[0]) / (logs[2] - logs[0])


def at_most(value, limit, late="broken"):
    if value is None:
        return "open"
    fail = limit.get("fail")
    return late if fail is not None and value > fail else "met"


def at_least(value, least):
    return "open" if value is None else "broken" if value < least - 1e-9 else "met"


def beside(report, baseline, target, most_drop):
    """Return the state of the accuracy against *baseline*, and of whether the latencies can be compared at all."""
    if (report["target"], report["data"]["name"]) != (baseline["target"], baseline["data"]["name"]):
        return ["open"]
    if not is_possible(baseline) or is_denied(baseline):
        return ["impossible"]
    timed = alike(report["profile"], baseline["profile"]) and is_measured(report["profile"], target)
    return [dropped(report, baseline, most_drop), "met" if timed else "open"]


def dropped(report, baseline, most):
    one, other = report.get("answers"), baseline.get("answers")
    old, new = baseline["student"]["test_accuracy"], report["student"]["test_accuracy"]
    if report["data"].get("goal", "classes") != baseline["data"].get("goal", "classes"):
        return "open"
    if one and other and one["sha256"] == other["sha256"]:
        pairs = Counter(zip(bits(baseline), bits(report), strict=True))
        lost, won, rows = pairs["1", "0"], pairs["0", "1"], one["rows"]
        if lost + won == 0:
            return "met"
        p, q = (lost + 1) / (rows + 2), (won + 1) / (rows + 2)
        half = 1.96 * math.sqrt((p + q - (p - q) ** 2) / (rows + 2))
        low, high = p - q - half, p - q + half
    else:
        same = all(report["data"][key] == baseline["data"][key] for key in ("sha256", "split_rule", "test_rows"))
        same = same and report["seed"] == baseline["seed"] and old == new
        if same and report["student_sha256"] == baseline["student_sha256"]:
            return "met"
        if report["data"].get("goal", "classes") == "value":
            errors = [run["student"].get("test_standard_error") for run in (report, baseline)]
            if None in errors:
                return "open"
            half = 1.96 * math.sqrt(errors[0] ** 2 + errors[1] ** 2)
            low, high = old - new - half, old - new + half
        else:
            (a, b), (c, d) = wilson(old, baseline["data"]["test_rows"]), wilson(new, report["data"]["test_rows"])
            low = old - new - math.sqrt((old - a) ** 2 + (d - new) ** 2)
            high = old - new + math.sqrt((b - old) ** 2 + (new - c) ** 2)
    if not (math.isfinite(100 * low) and math.isfinite(100 * high)):
        return "open"
    return "broken" if 100 * low > most + 1e-9 else "met" if 100 * high <= most + 1e-9 else "open"


def bits(report):
    answers = report["answers"]
    text = "".join(f"{byte:08b}" for byte in base64.b64decode(answers["student_right"]))
    return text[: answers["rows"]]


def wilson(share, rows):
    """Return the roots of (share − p)² = z²·p·(1 − p)/rows."""
    z = 1.96**2 / rows
    root = math.sqrt((2 * share + z) ** 2 - 4 * (1 + z) * share**2)
    return (2 * share + z - root) / (2 + 2 * z), (2 * share + z + root) / (2 + 2 * z)


def alike(one, other):
    def of(profile):
        host, first = profile["host"], profile.get("preprocessing")
        return (
            host["model"],
            host["cores"],
            host["system"].split()[-1],
            host["power_mode"],
            *(profile[key] for key in ("runtime", "runtime_version", "threads", "batch")),
            sorted((shape["name"], tuple(shape["sizes"])) for shape in profile.get("shapes", ())),
            profile.get("io", "copied"),
            first and (first["file"], first["sha256"], first["runtime"], first["runtime_version"]),
        )

    lengths = [len(profile[key]) for profile in (one, other) for key in ("samples_ns", "reference_ns")]
    return of(one) == of(other) and min(lengths) >= 64


def codes(found):
    """Return the exit codes that these states allow."""
    if "impossible" in found:
        return {2}
    if "broken" in found:
        return {1}
    if "over" in found:
        return {1, 5}
    return {5} if "open" in found else {0}
