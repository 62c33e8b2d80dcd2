"""Published latencies, made up: machines that are slower or faster, models of families."""

from hpmkd_edge.bench.published_table import COLUMNS, vector_of

# ms for one MAC, parameter, activation and run.
COSTS = (4e-9, 1e-7, 2e-7, 0.5)
SPEEDS = {"Alpha 1": 1.0, "Beta 2": 2.0, "Gamma 3": 0.5, "Delta 4": 1.5}
WIDTHS = {"alphanet": (1.0, 2.0), "betanet": (6.0, 9.0)}


def models(family):
    """Yield name, parameters in millions and MACs in billions of 12 members."""
    low, high = WIDTHS[family]
    for i in range(12):
        width = low + (high - low) * (i % 4) / 3
        positions = (10, 20, 30)[i // 4]
        parameters = width**2 / 10
        yield f"{family}_{i}", parameters, parameters * positions / 100


def ms_of(parameters_m, gmacs, costs=COSTS):
    vector = vector_of(gmacs * 1e9, parameters_m * 1e6)
    return sum(cost * one for cost, one in zip(costs, vector, strict=True))


def table_lines(*, noise=None, other=1.0, runtimes=("CPU TFLite", "CPU ArmNN-Neon [MLPerf v3.0]")):
    """Return the lines of a CSV.

    Args:
        noise: a factor on a latency, drawn by a call.
        other: times what the second family takes beyond what its costs say.
    """
    lines = [",".join(COLUMNS)]
    for board, speed in SPEEDS.items():
        for runtime in runtimes:
            for family in WIDTHS:
                for name, parameters, gmacs in models(family):
                    ms = speed * ms_of(parameters, gmacs) * (other if family == "betanet" else 1) * (noise or float)(1)
                    row = (name, parameters, gmacs, f"{board} {runtime}", "fp32", 1, ms, "example.org/figures (p50)")
                    lines.append(",".join(map(str, row)))
    return lines


def write_table(path, **changes):
    path.write_text("\n".join(table_lines(**changes)) + "\n", encoding="utf-8")
    return path
