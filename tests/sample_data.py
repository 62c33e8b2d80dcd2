"""Small data with a law in it."""

import numpy as np


def blobs(rows=240, classes=3, seed=0, lift=70):
    """Return uint8 images [N, 8, 8, 1] whose bright quadrant is their class, under noise, and the labels.

    The quadrant is brighter by *lift*: 70 is easy, 12 is hard.
    """
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    images = generator.integers(0, 120, (rows, 8, 8, 1))
    for image, label in zip(images, labels, strict=True):
        top, left = divmod(int(label), 2)
        image[4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += lift
    return images.astype(np.uint8), labels
