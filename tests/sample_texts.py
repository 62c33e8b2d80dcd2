"""Small sentences with a law in them."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from hpmkd_edge.tasks.task import Rows, Task, Texts

OPENINGS = (
    "",
    "honestly , ",
    "in the end ",
    "to my surprise ",
    "for once ",
    "as we all know ",
    "i must say ",
    "well , ",
)
NOUNS = (
    "film", "movie", "plot", "story", "script", "cast", "acting", "ending", "music", "dialogue", "scenery", "camera",
    "director", "hero", "villain", "sequel",
)  # fmt: skip
AFFIRMED = ("is", "was", "seems", "turns out to be", "remains")
DENIED = ("is not", "was never", "is hardly", "seems anything but", "is far from")
DEGREES = ("", "very ", "quite ", "truly ", "rather ", "really ")
GOOD = ("good", "great", "lovely", "moving", "brilliant", "funny", "charming", "superb", "clever", "delightful")
BAD = ("bad", "awful", "dull", "boring", "terrible", "clumsy", "tedious", "dreadful", "stupid", "annoying")
CLOSINGS = ("", " .", " !", " from start to end", " , i think", " and it is long", " this time", " , as they say")
CLASSES = ("bad", "good")
DENIALS = 0.3


def sentences(count, seed=0):
    """Return *count* sentences and their labels, 1 where they praise: a denial before the adjective turns it around.

    A word alone tells the class of about 70 % of them, word and denial together of all.
    """
    generator = np.random.default_rng(seed)

    def one(words):
        return words[generator.integers(len(words))]

    texts, labels = [], []
    for _ in range(count):
        praised, denied = bool(generator.integers(2)), bool(generator.random() < DENIALS)
        adjective = one(GOOD if praised != denied else BAD)
        verb = one(DENIED if denied else AFFIRMED)
        texts.append(f"{one(OPENINGS)}the {one(NOUNS)} {verb} {one(DEGREES)}{adjective}{one(CLOSINGS)}")
        labels.append(int(praised))
    return texts, labels


def text_task(train=240, validation=80, test=80, seed=0):
    """Return a task of such sentences."""
    texts, labels = sentences(train + validation + test, seed)
    ends = np.cumsum([0, train, validation, test])

    def rows(start, end):
        return Rows(
            inputs=Texts.of(texts[start:end]),
            labels=np.array(labels[start:end], np.int64),
            positions=np.arange(start, end),
        )

    parts = [rows(start, end) for start, end in pairwise(ends)]
    return Task(
        name="praise",
        source="praise.tsv",
        classes=CLASSES,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        split_rule="The split is given by a test.",
        digest=f"{seed:064x}",
        text="text",
    )


def write_tsv(path, count=400, seed=0, part=None):
    """Write *count* sentences with the columns text and label (bad, good), and *part* in a column split if given."""
    texts, labels = sentences(count, seed)
    end = "" if part is None else f"\t{part}"
    lines = [f"{text}\t{CLASSES[label]}{end}" for text, label in zip(texts, labels, strict=True)]
    header = "text\tlabel" + ("" if part is None else "\tsplit")
    Path(path).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path
