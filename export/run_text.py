"""Ask a text student: `python run_text.py "a sentence" "another"`, or one sentence a line by standard input.

It needs `pip install onnxruntime tokenizers`, and student.onnx and tokenizer.json beside it.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

HERE = Path(__file__).parent


def main(sentences: list[str]) -> None:
    """Print the likeliest class of each sentence and its probability."""
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))  # cuts what is too long, pads with 0 what is short
    student = onnxruntime.InferenceSession(str(HERE / "student.onnx"), providers=["CPUExecutionProvider"])
    classes = json.loads(student.get_modelmeta().custom_metadata_map["hpmkd_edge.classes"])
    for start in range(0, len(sentences), 64):
        some = sentences[start : start + 64]
        ids = np.array([one.ids or [0] for one in tokenizer.encode_batch(some)], np.int64)
        for sentence, probabilities in zip(some, student.run(None, {"ids": ids})[0], strict=True):
            best = int(probabilities.argmax())
            print(f"{classes[best]}\t{probabilities[best]:.3f}\t{sentence}")


if __name__ == "__main__":
    # What is no UTF-8 is read as the replacement character, and only a line feed ends a line.
    given = [os.fsencode(one) for one in sys.argv[1:]]
    if not given:
        *lines, rest = sys.stdin.buffer.read().split(b"\n")
        given = [*lines, rest] if rest else lines
    main([one.decode("utf-8", "replace") for one in given])
