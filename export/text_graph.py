"""A text student as one graph that takes strings, by the operators of onnxruntime-extensions."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hpmkd_edge.export.versions import IR_VERSION, OPSET

if TYPE_CHECKING:
    import onnx

DOMAIN: Final = "ai.onnx.contrib"
PACKAGE: Final = "onnxruntime_extensions"
# The operator's own limit on the letters of a word, beyond which it is unknown.
LONGEST_WORD: Final = 100


def takes_strings(path: Path) -> bool:
    """Tell whether the ONNX file at *path* has operators of onnxruntime-extensions, which read text."""
    import onnx

    return any(opset.domain == DOMAIN for opset in onnx.load(path, load_external_data=False).opset_import)


def cannot_take_strings(tokenizer: str) -> str | None:
    """Say in a sentence why no operator here reads text as *tokenizer* does; None if one does.

    BertTokenizer reads as a WordPiece of BERT's kind does, but for: words with a letter that the vocabulary lacks, of
    which it keeps the pieces before that letter, where the tokenizer makes the whole word unknown; what follows a zero
    byte; the names of special pieces, as "[MASK]", which it reads letter by letter; and the signs of docs/text.md.

    Args:
        tokenizer: the text of a tokenizer.json.
    """
    if find_spec(PACKAGE) is None:
        return "onnxruntime-extensions is not installed; pip install 'hpmkd-edge[text]'."
    spec = json.loads(tokenizer)
    model, normalizer = spec["model"], spec["normalizer"] or {}
    kinds = (model["type"], normalizer.get("type"), (spec["pre_tokenizer"] or {}).get("type"))
    if kinds != ("WordPiece", "BertNormalizer", "BertPreTokenizer") or spec["post_processor"] is not None:
        found = f"a {kinds[0]}, normalized by {kinds[1]} and split by {kinds[2]}"
        return f"its tokenizer is {found}; BERT's WordPiece is needed."
    plain = normalizer["clean_text"] and normalizer["strip_accents"] in (None, normalizer["lowercase"])
    usual = model["continuing_subword_prefix"] == "##" and model["max_input_chars_per_word"] == LONGEST_WORD
    if not (plain and usual):
        return "its tokenizer has other settings than BERT's own, which alone are known to be read alike."
    return None


def string_graph(tokenizer: str) -> onnx.ModelProto:
    """Build the graph from `text`, strings [N], to `ids`, int64 [N, T], as *tokenizer* gives them.

    The operator reads a sentence at a time, so a loop goes over the batch.

    Args:
        tokenizer: the text of a tokenizer.json of which `cannot_take_strings` says nothing.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    spec = json.loads(tokenizer)
    vocabulary, normalizer = spec["model"]["vocab"], spec["normalizer"]
    pieces, unknown = sorted(vocabulary, key=vocabulary.__getitem__), spec["model"]["unk_token"]

    def whole(name: str, *values: int, scalar: bool = False) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values[0] if scalar else values, np.int64), name)

    def node(operator: str, inputs: str, output: str, **options: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs.split(), [output], name=output, **options)

    # Special pieces surround what is read; any in the vocabulary will do, since they are cut off.
    reader = helper.make_node(
        "BertTokenizer",
        ["sentence"],
        ["surrounded", "types", "mask", "offsets"],
        name="reader",
        domain=DOMAIN,
        vocab_file="\n".join(pieces),
        do_lower_case=int(normalizer["lowercase"]),
        strip_accents=int(normalizer["lowercase"]),
        tokenize_chinese_chars=int(normalizer["handle_chinese_chars"]),
        **dict.fromkeys(("unk_token", "sep_token", "cls_token", "mask_token"), unknown),
        pad_token=pieces[0],
    )
    body = helper.make_graph(
        [
            node("Gather", "text place", "alone"),
            node("Reshape", "alone one", "sentence"),
            reader,
            node("Slice", "surrounded one minus_one", "read"),
            node("Slice", "read zero most", "kept"),
            node("Shape", "kept", "count"),
            node("Sub", "most count", "missing"),
            node("Concat", "zero missing", "room", axis=0),
            node("Pad", "kept room", "row"),
            node("Identity", "going", "goes_on"),
        ],
        "sentence",
        [
            helper.make_tensor_value_info("place", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("row", TensorProto.INT64, [None]),
        ],
    )
    graph = helper.make_graph(
        [
            node("Size", "text", "rows"),
            helper.make_node("Loop", ["rows", ""], ["padded"], name="sentences", body=body),
            # Padding is 0, and no piece is: as many columns as the longest row has pieces, one at least.
            node("Sign", "padded", "real"),
            node("ReduceSum", "real second", "lengths", keepdims=0),
            node("Concat", "one lengths", "all_lengths", axis=0),
            node("ReduceMax", "all_lengths", "longest", keepdims=1),
            node("Slice", "padded zero longest second", "ids"),
        ],
        "text",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch"])],
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
        [
            *(whole("zero", 0), whole("one", 1), whole("minus_one", -1), whole("second", 1)),
            whole("most", int(spec["truncation"]["max_length"])),
        ],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hpmkd-edge")
    checker.check_model(model)
    return model
