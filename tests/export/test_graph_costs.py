"""What a graph costs: by hand, and against a slow twin."""

import math

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.graph_costs import VIEWS, arena_bytes, node_costs

FLOAT = TensorProto.FLOAT


def saved(path, nodes, inputs, outputs, *, weights=None, opset=18, domains=()):
    """Write a graph of float32 values; `weights` are shapes by name, or arrays."""
    arrays = {
        name: one if isinstance(one, np.ndarray) else np.zeros(one, np.float32) for name, one in (weights or {}).items()
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def only_cost(tmp_path, node, inputs, **options):
    path = saved(tmp_path / "one.onnx", [node], inputs, [node.output[0]], **options)
    (cost,) = node_costs(path, inputs)
    return cost


@pytest.mark.parametrize(
    ("group", "weights", "macs", "depthwise"),
    [
        (1, (16, 8, 3, 3), 16 * 10 * 10 * 8 * 9, False),
        (2, (16, 4, 3, 3), 16 * 10 * 10 * 4 * 9, False),
        (8, (8, 1, 3, 3), 8 * 10 * 10 * 9, True),
        (8, (16, 1, 3, 3), 16 * 10 * 10 * 9, True),
    ],
)
def test_a_convolution_costs_its_kernel_at_each_output(tmp_path, group, weights, macs, depthwise):
    """Channels out × pixels out × channels in a group × kernel; each channel to itself is depthwise."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=group, kernel_shape=[3, 3])
    cost = only_cost(tmp_path, node, {"x": (1, 8, 12, 12)}, weights={"w": weights})

    assert (cost.macs, cost.depthwise) == (macs, depthwise)
    assert cost.parameter_bytes == 4 * math.prod(weights)
    assert cost.moved_bytes == 4 * (8 * 144 + math.prod(weights) + weights[0] * 100)


@pytest.mark.parametrize(
    ("node", "inputs", "weights", "macs"),
    [
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), {"x": (5, 7)}, {"w": (3, 7)}, 5 * 7 * 3),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), {"x": (7, 5)}, {"w": (7, 3)}, 5 * 7 * 3),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": (2, 4, 5, 7), "w": (2, 4, 7, 3)}, {}, 8 * 5 * 7 * 3),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": (2, 5, 7)}, {"w": (7, 3)}, 2 * 5 * 7 * 3),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": (7,)}, {"w": (7, 3)}, 7 * 3),
        (
            helper.make_node("Einsum", ["x", "w"], ["y"], equation="bhid,bhjd->bhij"),
            {"x": (2, 4, 5, 7), "w": (2, 4, 6, 7)},
            {},
            2 * 4 * 5 * 6 * 7,
        ),
        (
            helper.make_node("Einsum", ["x", "w"], ["y"], equation="...i,ij->...j"),
            {"x": (2, 4, 7)},
            {"w": (7, 3)},
            2 * 4 * 7 * 3,
        ),
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            {"x": (1, 8, 5, 5)},
            {"w": (8, 3, 2, 2)},
            8 * 25 * 3 * 4,
        ),
        (
            helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=6),
            {"x": (10, 2, 4)},
            {"w": (1, 18, 4), "r": (1, 18, 6)},
            10 * 2 * 18 * (4 + 6),
        ),
        (helper.make_node("Relu", ["x"], ["y"]), {"x": (5, 7)}, {}, 0),
    ],
)
def test_products_cost_rows_times_columns_times_terms(tmp_path, node, inputs, weights, macs):
    """By hand, whichever side is transposed, and over all leading axes."""
    assert only_cost(tmp_path, node, inputs, weights=weights).macs == macs


def test_attention_costs_what_its_two_products_cost(tmp_path):
    """Scores and weighted sum, whether one operator says it or five."""
    shapes = {"q": (2, 4, 5, 8), "k": (2, 4, 6, 8), "v": (2, 4, 6, 8)}
    one = saved(tmp_path / "one.onnx", [helper.make_node("Attention", list(shapes), ["y"])], shapes, ["y"], opset=23)
    several = saved(
        tmp_path / "several.onnx",
        [
            helper.make_node("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["q", "t"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["shares"]),
            helper.make_node("MatMul", ["shares", "v"], ["y"]),
        ],
        shapes,
        ["y"],
    )
    flat = {name: (2, shape[2], 32) for name, shape in shapes.items()}
    heads = helper.make_node("Attention", list(flat), ["y"], q_num_heads=4, kv_num_heads=4)
    folded = saved(tmp_path / "folded.onnx", [heads], flat, ["y"], opset=23)
    (cost,) = node_costs(one, shapes)

    assert cost.macs == 2 * 2 * 4 * 5 * 6 * 8
    assert cost.macs == sum(cost.macs for cost in node_costs(several, shapes))
    assert cost.macs == sum(cost.macs for cost in node_costs(folded, flat))


def test_weights_made_of_weights_count_as_what_lies_in_the_file(tmp_path):
    """int8 weights behind a DequantizeLinear are a quarter of float32's; their node moves nothing in a run."""
    weights = {"w8": np.zeros((16, 8, 3, 3), np.int8), "scale": np.float32(0.1), "zero": np.int8(0)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    shapes = {"x": (1, 8, 12, 12)}
    path = saved(tmp_path / "q.onnx", nodes, shapes, ["y"], weights={k: np.asarray(v) for k, v in weights.items()})
    dequantize, convolution = node_costs(path, shapes)

    assert (dequantize.macs, dequantize.moved_bytes, dequantize.parameter_bytes) == (0, 0, 1152 + 4 + 1)
    assert convolution.macs == 16 * 100 * 8 * 9
    assert convolution.moved_bytes == 4 * 8 * 144 + 1157 + 4 * 16 * 100
    assert arena_bytes(path, shapes) == 4 * (8 * 144 + 16 * 100)


def test_text_and_its_operators_cost_no_multiply_adds(tmp_path):
    """A table's own graph: words have no length that anything declares."""
    nodes = [
        helper.make_node("LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml", keys_strings=["b"],
                         values_floats=[1.0], default_float=0.0),
        helper.make_node("Concat", ["x", "code"], ["y"], axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "table",
        [
            helper.make_tensor_value_info("x", FLOAT, ["batch", 1]),
            helper.make_tensor_value_info("word", TensorProto.STRING, ["batch", 1]),
        ],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 2])],
    )
    path = tmp_path / "table.onnx"
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    shapes = {"x": (3, 1), "word": (3, 1)}

    assert [cost.macs for cost in node_costs(path, shapes)] == [0, 0]
    assert arena_bytes(path, shapes) == 4 * (3 + 3 + 6)


def slow_arena(nodes, sizes, inputs, outputs):
    """At each node, sum over all values whether each is alive then."""
    owner = {}
    for node in nodes:
        if node.op_type in VIEWS:
            owner[node.output[0]] = owner.get(node.input[0], node.input[0])
    largest = 0
    for now in range(len(nodes)):
        total = 0
        for name, size in sizes.items():
            if name in owner:
                continue
            names = {name, *(view for view, whose in owner.items() if whose == name)}
            made = -1 if name in inputs else next(t for t, node in enumerate(nodes) if name in node.output)
            read = [t for t, node in enumerate(nodes) if names & set(node.input)]
            forever = names & {*inputs, *outputs}
            if made <= now and (forever or now <= max([made, *read])):
                total += size
        largest = max(largest, total)
    return largest


@pytest.mark.parametrize("seed", range(12))
def test_the_arena_is_the_slow_twins(tmp_path, seed):
    """Random graphs of sums, joins, views and values that nobody reads."""
    generator = np.random.default_rng(seed)
    widths, nodes = {"v0": 3, "v1": 5}, []
    for number in range(2, 14):
        one, other = generator.choice(list(widths), 2)
        new = f"v{number}"
        if generator.random() < 0.5:
            nodes.append(helper.make_node("Concat", [one, other], [new], axis=1))
            widths[new] = widths[one] + widths[other]
        else:
            nodes.append(helper.make_node(generator.choice(["Relu", "Flatten"]), [one], [new]))
            widths[new] = widths[one]
    shapes = {"v0": (2, 3), "v1": (2, 5)}
    outputs = ["v7", "v13"]
    path = saved(tmp_path / "random.onnx", nodes, shapes, outputs)
    sizes = {name: 2 * 4 * width for name, width in widths.items()}

    assert arena_bytes(path, shapes) == slow_arena(nodes, sizes, list(shapes), outputs)


def test_a_batch_multiplies_activations_and_not_weights(tmp_path):
    """Of an open axis 0, through a shape that the graph computes."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    weights = {"rest": np.array([-1], np.int64), "w": (12, 4)}
    path = saved(tmp_path / "m.onnx", nodes, {"x": ("batch", 3, 4)}, ["y"], weights=weights)
    one, four = (node_costs(path, {"x": (rows, 3, 4)}) for rows in (1, 4))

    assert [sum(cost.macs for cost in costs) for costs in (one, four)] == [48, 192]
    assert sum(cost.parameter_bytes for cost in one) == sum(cost.parameter_bytes for cost in four) == 8 + 4 * 48


@pytest.mark.slow
def test_a_shape_that_hangs_on_values_is_refused(tmp_path):
    """Neither way of inference follows it; the second one's import takes seconds."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["f"], to=FLOAT),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    hanging = saved(tmp_path / "h.onnx", nodes, {"x": (2, 2)}, ["y"])

    with pytest.raises(BadConfiguration, match="does not follow from those of the inputs"):
        node_costs(hanging, {"x": (2, 2)})


def test_what_does_not_follow_from_the_inputs_is_refused(tmp_path):
    """Branches, wrong or missing shapes, and what is no graph: a sentence each."""
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])], "branch", [], [helper.make_tensor_value_info("r", FLOAT, None)]
    )
    branching = saved(
        tmp_path / "b.onnx",
        [helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)],
        {"x": (2, 2)},
        ["y"],
        weights={"yes": np.array(True)},
    )
    (tmp_path / "no.onnx").write_bytes(b"\xff" * 40)

    with pytest.raises(BadConfiguration, match="hangs on values"):
        node_costs(branching, {"x": (2, 2)})
    with pytest.raises(BadConfiguration, match=r"given the shape \[2, 3\]; \[2, 2\] is needed"):
        node_costs(branching, {"x": (2, 3)})
    with pytest.raises(BadConfiguration, match="the graph takes x"):
        arena_bytes(branching, {})
    with pytest.raises(BadConfiguration, match="no ONNX file"):
        node_costs(tmp_path / "no.onnx", {})
