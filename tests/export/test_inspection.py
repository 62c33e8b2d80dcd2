"""Whatever lies in a file: it passes, or one sentence says why no runtime may have it."""

import os
from copy import deepcopy
from functools import cache
from itertools import pairwise

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sample_graphs import images_graph

from hpmkd_edge.bench.reference import reference_file
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.inspection import inspect_file, weight_files


def value(name, shape=("batch", 4), kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes, inputs=None, outputs=None, weights=()):
    return helper.make_graph(
        nodes,
        "graph",
        [value("x")] if inputs is None else inputs,
        [value("y")] if outputs is None else outputs,
        weights,
    )


def model(nodes=None, *, opsets=None, functions=(), **parts):
    nodes = [helper.make_node("Relu", ["x"], ["y"])] if nodes is None else nodes
    opsets = [helper.make_opsetid(*one) for one in ({"": 18} if opsets is None else opsets).items()]
    return helper.make_model(graph(nodes, **parts), opset_imports=opsets, functions=functions, ir_version=10)


def weighted(**external):
    """Return a product with weights [4, 4], which lie outside if *external* says where."""
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], weights=[numpy_helper.from_array(np.eye(4, dtype="f4"), "w")]
    )
    if external:
        (tensor,) = made.graph.initializer
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, one in external.items():
            tensor.external_data.add(key=key, value=str(one))
    return made


def branching():
    branches = {
        name: helper.make_graph([helper.make_node(kind, ["x"], [kind])], name, [], [value(kind)])
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    return model([helper.make_node("If", ["c"], ["y"], **branches)], inputs=[value("x"), value("c", (), 9)])


def calling(calls, depth=1, times=1):
    """Return a model whose function calls the next, *times*, and the last of *depth* calls *calls*."""
    both = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = []
    for place in range(depth):
        to = f"f{place + 1}" if place < depth - 1 else calls
        domain = "own" if to.startswith("f") else ""
        values = ["x", *(f"v{i}" for i in range(times - 1)), "y"]
        nodes = [helper.make_node(to, [before], [after], domain=domain) for before, after in pairwise(values)]
        functions.append(helper.make_function("own", f"f{place}", ["x"], ["y"], nodes, both))
    return model([helper.make_node("f0", ["x"], ["y"], domain="own")], opsets={"": 18, "own": 1}, functions=functions)


@pytest.fixture
def saved(tmp_path):
    def save(made):
        folder = tmp_path / "models"
        folder.mkdir(exist_ok=True)
        (folder / "m.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return folder / "m.onnx"

    return save


def refused(path, match):
    with pytest.raises(BadConfiguration, match=match) as raised:
        inspect_file(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "made",
    [
        model(),
        weighted(),
        branching(),
        calling("Relu", depth=3, times=4),
        model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], opsets={"": 18, "com.microsoft": 1}),
        model([helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")]),
        model(inputs=[value("x", ("batch", None, 3)), value("s", (), TensorProto.STRING)]),
        # The order of nodes is ONNX Runtime's to find.
        model([helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Neg", ["x"], ["a"])]),
    ],
)
def test_what_runtimes_take_passes(made, saved):
    """Subgraphs, functions, operators of ONNX Runtime, open axes, scalars, words."""
    inspect_file(saved(made))


def test_our_own_reference_passes():
    """It is a real file."""
    with reference_file() as path:
        inspect_file(path)


def tensor(kind=1, dims=(4,), **data):
    return TensorProto(name="w", data_type=kind, dims=dims, **data)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (model(inputs=[]), "takes no input"),
        (model(outputs=[]), "gives no output"),
        (model(inputs=[value("x"), value("x")]), "declares the input 'x' 2 times"),
        (
            model(inputs=[value("x"), helper.make_tensor_sequence_value_info("s", 1, None)]),
            "takes a sequence as 's'; a tensor is needed",
        ),
        (
            model(inputs=[helper.make_value_info("x", helper.make_optional_type_proto(value("x").type))]),
            "takes an optional as 'x'",
        ),
        (model(inputs=[value("x", kind=99)]), "'x' of a type that ONNX does not know"),
        (model(inputs=[value("x", (10**5, 10**5))]), r"the input 'x' of 40\.0 GB; at most 2\.1 GB"),
        (model(inputs=[value("x", (2**62,) * 31)]), "the input 'x' of .* GB"),
        (model(inputs=[value("x", (1,) * 40)]), "the input 'x' of 40 axes; at most 32"),
        (model(outputs=[value("y", (10**5, 10**5))]), r"the value 'y' of 40\.0 GB"),
        (
            onnx.ModelProto.FromString(model().SerializeToString().replace(b"batch", b"\xff\xfeaaa")),
            "b'.*'; text is needed",
        ),
        (
            onnx.ModelProto.FromString(model().SerializeToString().replace(b"Relu", b"\xff\xfeaa")),
            "b'.*'; text is needed",
        ),
        (model(opsets={"": 999}), "is of opset 999; 1 to"),
        (model(opsets={"": 18, "ai.onnx.ml": 0}), "is of opset 0 of ai.onnx.ml; 1 to"),
        (model(opsets={}), "does not say of which opset"),
        (model([helper.make_node("Reluu", ["x"], ["y"])]), "'Reluu', which opset 18 does not have.* mean 'Relu'"),
        (model([helper.make_node("Relu", ["x"], ["y"], domain="own")]), "of the domain 'own', whose version"),
        (
            model([helper.make_node("Relu", ["x"], ["y"], domain="own")], opsets={"": 18, "own": 1}),
            "'Relu' of the domain 'own', which opset 1 does not have",
        ),
        (model([helper.make_node("Relu", ["z"], ["y"])]), "takes 'z', which nothing in it gives"),
        (model(outputs=[value("z")]), "takes 'z', which nothing in it gives"),
        (
            model([helper.make_node("Add", ["x", "y"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]),
            "runs in a circle through (Add|Relu), which gives '(a|y)'",
        ),
        (model([helper.make_node("Relu", ["x"], ["y"])] * 2), "gives 'y' twice"),
        (calling("f0"), "a function 'f0' that calls itself"),
        (calling("f1", depth=4), "a function 'f[123]' that calls itself"),
        (calling("Relu", depth=30, times=10), "nodes once its functions are unfolded; at most 1,000,000"),
        (model(weights=[tensor(dims=(50_000, 50_000))]), "holds 0 numbers of the tensor 'w', whose shape needs 2,5"),
        (model(weights=[tensor(raw_data=b"1234567")]), "holds 7 bytes of the tensor 'w', whose shape needs 16"),
        (model(weights=[tensor(kind=8, string_data=[b"a"])]), "holds 1 numbers of the tensor 'w', whose shape needs 4"),
        (model(weights=[tensor(dims=(-4,))]), "with negative sizes"),
        (model(weights=[tensor(kind=0)]), "the tensor 'w' of the type 0"),
        (
            model([helper.make_node("Constant", [], ["y"], value=tensor(dims=(10**6, 10**6)))]),
            "the tensor 'w', whose shape needs 1,000,000,000,000",
        ),
        (
            model(
                [helper.make_node("Expand", ["x", "shape"], ["y"])],
                weights=[numpy_helper.from_array(np.array([10**6, 10**6]), "shape")],
            ),
            r"has Expand make 'y' of 4,000\.0 GB",
        ),
        (
            model([helper.make_node("RandomNormal", [], ["y"], shape=[10**6, 10**6])]),
            r"has RandomNormal make 'y' of 4,000\.0 GB",
        ),
    ],
)
def test_what_no_runtime_may_have_is_said(made, sentence, saved):
    """By the first fault, with the file's name before it."""
    refused(saved(made), f"^m.onnx .*{sentence}")


def message(field, body):
    """Return the bytes of a message in a field, which Python's own writer makes of a hundred levels at most."""
    size, prefix = len(body), bytearray([field << 3 | 2])
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    return bytes([*prefix, size]) + body


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has 0 bytes"),
        (b"hello, world\n" * 99, "is cut off, or no ONNX at all"),
        (model().SerializeToString()[:-5], "is cut off"),
        (numpy_helper.from_array(np.arange(99.0), "x").SerializeToString(), "is cut off, or no ONNX at all"),
        (onnx.ModelProto(ir_version=10).SerializeToString(), "holds no ONNX graph"),
        (onnx.ModelProto(graph=model().graph).SerializeToString(), "holds no ONNX graph"),
        (onnx.ModelProto(ir_version=99, graph=model().graph).SerializeToString(), "is of version 99 of the format"),
    ],
)
def test_bytes_that_are_no_model_are_said(content, sentence, saved):
    """Empty, text, cut, another message."""
    refused(saved(content), f"m.onnx {sentence}")


def test_thousands_of_subgraphs_in_each_other_are_refused(saved):
    """Runtimes walk them by recursion, and would leave the stack."""
    body = b""
    for _ in range(3000):
        body = message(1, message(5, message(6, body)))  # a graph in an attribute in a node

    refused(saved(model().SerializeToString() + message(7, body)), "nested more than 100 messages deep")


@pytest.mark.slow
def test_millions_of_empty_parts_are_refused_before_they_are_parsed(saved):
    """Two bytes of a node without anything in it are a hundred in memory."""
    empty = message(7, bytes([1 << 3 | 2, 0]) * 1_500_000)

    refused(saved(model().SerializeToString() + empty), "has too many parts; at most 1,000,000 are taken")


def test_large_weights_are_few_parts(saved):
    """They are skipped and not counted."""
    made = model(weights=[numpy_helper.from_array(np.full(2_000_000, 0x0A00, np.uint32), "w")])

    inspect_file(saved(made))


def test_what_is_no_file_is_said(tmp_path):
    """A folder, a pipe, nothing at all: none of them is opened."""
    os.mkfifo(tmp_path / "pipe.onnx")

    refused(tmp_path, "is a folder; an ONNX file is needed")
    refused(tmp_path / "pipe.onnx", "is no file")
    refused(tmp_path / "none.onnx", "is no file")


def test_a_file_larger_than_the_format_allows_is_not_read(tmp_path):
    """Its size is enough."""
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(10**10)

    refused(tmp_path / "large.onnx", "has 10,000,000,000 bytes; an ONNX file of 1 byte to 2 GB")


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("/etc/passwd", "at '/etc/passwd'; a file in the model's own folder is needed"),
        ("../w.bin", r"at '\.\./w\.bin'; a file in the model's own folder"),
        ("deeper/../../w.bin", "a file in the model's own folder"),
        ("..\\w.bin", "a file in the model's own folder"),
        ("C:\\w.bin", "a file in the model's own folder"),
        ("link.bin", "a link that leads out of its folder"),
        ("linked/w.bin", "a link that leads out of its folder"),
        ("circle.bin", "which (cannot be followed|is not there)"),
        ("none.bin", "which is not there"),
        (".", "which is not there"),
        ("", "but not where"),
        ("a\0b", "but not where"),
        ("*/_ORT_MEM_ADDR_/*", "which is not there"),
        ("long" * 1000, "which (cannot be followed|is not there)"),
    ],
)
def test_data_outside_the_folder_is_not_looked_at(location, sentence, saved, tmp_path):
    """By an absolute path, by dots, by links, by ONNX Runtime's mark of an address in memory."""
    (tmp_path / "w.bin").write_bytes(bytes(64))
    path = saved(weighted(location=location))
    (path.parent / "link.bin").symlink_to(tmp_path / "w.bin")
    (path.parent / "linked").symlink_to(tmp_path)
    (path.parent / "circle.bin").symlink_to("circle.bin")

    refused(path, sentence)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({}, None),
        ({"offset": 0, "length": 64}, None),
        ({"offset": 36}, None),
        ({"offset": 37}, r"needs 101 bytes of 'w\.bin' for the tensor 'w'; the file has 100"),
        ({"length": 60}, r"the tensor 'w' 60 bytes of 'w\.bin'; its shape needs 64"),
        ({"offset": -4}, "two whole numbers are needed"),
        ({"offset": "9" * 5000}, "two whole numbers are needed"),
    ],
)
def test_data_beside_the_file_is_held_against_its_size(place, sentence, saved):
    """Every byte that a tensor declares is there."""
    path = saved(weighted(location="w.bin", **place))
    (path.parent / "w.bin").write_bytes(bytes(100))

    if sentence is None:
        inspect_file(path)

        assert weight_files(path) == (path.parent / "w.bin",)
    else:
        refused(path, sentence)


@pytest.mark.parametrize("kind", [one for one in TensorProto.DataType.values() if one and one <= 24])
def test_every_type_s_own_tensors_pass(kind, saved):
    """As ONNX itself writes them, raw and as numbers."""
    numbers = np.arange(5) % 2
    values = [str(one) for one in numbers] if kind == TensorProto.STRING else numbers.tolist()
    made = model(weights=[helper.make_tensor("w", kind, [5], values)])
    raw = deepcopy(made)
    if kind != TensorProto.STRING:
        raw.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(made.graph.initializer[0]), "w")
        )

    inspect_file(saved(made))
    inspect_file(saved(raw))


@cache
def real_files():
    with reference_file() as path:
        reference = path.read_bytes()
    gelu = model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], opsets={"": 18, "com.microsoft": 1})
    models = (branching(), calling("Relu", depth=2, times=2), weighted(location="w.bin", offset=0, length=64), gelu)
    return (reference, *(one.SerializeToString() for one in models))


def inspected(path, content):
    path.write_bytes(content)
    sentence = ""
    try:
        inspect_file(path)
    except EdgeError as error:
        sentence = str(error)
    assert "\n" not in sentence


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "any.onnx"


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_pass_or_are_refused_in_a_sentence(place, content):
    """No other error ever."""
    inspected(place, content)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_real_file_with_a_changed_byte_or_cut_short_does_too(place, data):
    """Anywhere in its structure: names, sizes, types, domains."""
    content = bytearray(data.draw(st.sampled_from(real_files())))
    # The reference's weights fill the middle of it; its structure is at the ends.
    where = data.draw(st.one_of(st.integers(0, min(700, len(content) - 1)), st.integers(0, len(content) - 1)))
    if data.draw(st.booleans()):
        content[where] = data.draw(st.integers(0, 255))
    else:
        del content[where:]

    inspected(place, bytes(content))


def test_weights_beside_are_part_of_an_artifact(tmp_path):
    """Its size is that of all that ships; an engine is whole."""
    path, _ = images_graph(tmp_path / "m.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.engine").write_bytes(b"built")
    both = [Artifact(path=tmp_path / name, precision="fp32", parity=None).file_bytes for name in ("m.onnx", "m.engine")]

    assert both == [path.stat().st_size + (tmp_path / "m.data").stat().st_size, 5]
