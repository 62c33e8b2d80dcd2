"""Images: the embedded digits, arrays of pixels, and folders of class folders."""

# Shape suffixes: N = images, H = height, W = width, C = channels.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.labels import code_labels
from hpmkd_edge.tasks.reading import Reading, cause_of
from hpmkd_edge.tasks.splitting import NAMES, named_split
from hpmkd_edge.tasks.task import Images

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
GRAY_MODES: Final = frozenset({"1", "L", "LA"})
COLOR_MODES: Final = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def read_digits() -> Reading:
    """Read scikit-learn's 1,797 digits: uint8 [1797, 8, 8, 1], its 0 … 16 scaled to 0 … 255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Reading(inputs=Images(pixels=pixels[..., None]), labels=code_labels(digits.target, "digits"), split=None)


def images_of(pixels: NDArray[Any], name: str) -> Images:
    """Return an array of pixels as images.

    Args:
        pixels: uint8, [N, H, W] or [N, H, W, C].
        name: how a message calls the array.

    Raises:
        BadData: another type or shape.
    """
    shape = "×".join(map(str, pixels.shape))
    if pixels.dtype != np.uint8:
        raise BadData(f"{name} is {pixels.dtype} of {shape}; images are needed as uint8, 0 to 255.")
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        raise BadData(f"{name} is {shape}; images × height × width × channels is needed, with 1 or 3 channels.")
    return Images(pixels=pixels)


def read_folder(path: Path) -> Reading:
    """Read a folder of class folders of images, with or without train, val and test folders on top.

    The rows are in the order of the sorted paths. Gray images make gray rows when all are gray, else
    all are RGB; transparency is dropped. Files beside the class folders, and hidden ones, are not read.

    Raises:
        BadData: a class folder holds something else, an image cannot be read, or sizes differ.
    """
    tops = _folders(path)
    split_folders = [top for top in tops if top.name in NAMES] if (path / "train").is_dir() else []
    if split_folders and len(split_folders) < len(tops):
        (strange, *_) = (top for top in tops if top.name not in NAMES)
        raise BadData(f"{path} holds train and {strange.name}; beside train, only val and test are allowed.")
    class_folders = [folder for top in split_folders for folder in _folders(top)] if split_folders else tops
    files = [file for folder in class_folders for file in _images(folder)]
    if not files:
        raise BadData(f"{path.absolute()} holds no class folders of images and no table train.*; one is needed.")
    classes = np.array([file.parent.name for file in files], object)
    parts = np.array([file.parent.parent.name for file in files], object)
    names = ", ".join(folder.name for folder in split_folders)
    return Reading(
        labels=code_labels(classes, f"folder {path.name!r}"),
        split=named_split(parts, f"the folders {names}") if split_folders else None,
        inputs=Images(pixels=_decode(files)),
    )


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for file in files:
        if file.suffix.lower() not in SUFFIXES or not file.is_file():
            raise BadData(f"{file} is not an image; a class folder needs {', '.join(sorted(SUFFIXES))} only.")
    if not files:
        raise BadData(f"class folder {folder} is empty; at least one image is needed.")
    return files


def _decode(files: list[Path]) -> NDArray[np.uint8]:
    """Return the pixels of *files*, all of one size: uint8 [N, H, W, C]."""
    from tqdm import tqdm

    size: tuple[int, int] | None = None
    gray = True
    # Two passes: the headers say the shape, so that every image is decoded into its final place.
    for file in files:
        with _opened(file) as image:
            found, mode = image.size, image.mode
        size = size or found
        if found != size:
            raise BadData(
                f"{file} is {found[0]}×{found[1]} and {files[0]} is {size[0]}×{size[1]} pixels; "
                "images of one size are needed."
            )
        if mode not in GRAY_MODES | COLOR_MODES:
            raise BadData(f"{file} has pixels of mode {mode}; 8-bit gray or color is needed.")
        gray = gray and mode in GRAY_MODES
    assert size is not None
    pixels = np.empty((len(files), size[1], size[0], 1 if gray else 3), np.uint8)
    for place, file in zip(pixels, tqdm(files, "images", disable=hidden(), leave=False), strict=True):
        with _opened(file) as image:
            place[:] = np.asarray(image.convert("L" if gray else "RGB")).reshape(place.shape)
    return pixels


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            yield image
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadData(f"{file} cannot be read as an image: {cause_of(error)}.") from error
