"""Whether a quote in a TSV file quotes, or is a character of the text: there are files of both kinds."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

# A cell as CSV has it: without any quote, or in quotes, with those inside doubled.
QUOTED: Final = rb'"(?:[^"]|"")*"'
CELL: Final = rb'(?:[^"\t]*|' + QUOTED + rb")"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# A row beyond this has a quote that nothing closes; no reader here takes a longer one.
MOST_ROW_BYTES: Final = 16 << 20
BLOCK_BYTES: Final = 1 << 20


def has_quoted_cells(path: Path) -> bool:
    """Return whether the TSV file *path* (plain or .gz) is quoted as CSV is, so that a cell may hold tabs and lines.

    It is quoted if it holds a quote, all its rows, read so, have as many cells as the header, and each quote begins or
    ends a cell or is doubled inside one. It is plain all the same, each line a row and each quote a character, if every
    line alone has as many tabs as the header and quotes would join two lines: then one text begins with a quote and a
    later one ends with one.

    Raises:
        pyarrow.ArrowException: it cannot be unpacked.
    """
    import pyarrow

    row, is_open, joined, lines_fit = bytearray(), False, False, True
    line_tabs: int | None = None
    pattern: re.Pattern[bytes] | None = None
    with pyarrow.input_stream(str(path), compression="detect") as stream:
        # A first look: 60 MB without any quote take 0.04 s, line by line 3.6 s.
        if not any(b'"' in block for block in iter(lambda: stream.read(BLOCK_BYTES), b"")):
            return False
    with io.BufferedReader(pyarrow.input_stream(str(path), compression="detect")) as lines:
        for line in lines:
            line_tabs = line.count(b"\t") if line_tabs is None else line_tabs
            lines_fit = lines_fit and (line.count(b"\t") == line_tabs or not line.strip(b"\r\n"))
            row += line
            is_open ^= line.count(b'"') % 2 == 1
            if is_open:
                joined = True
                if len(row) > MOST_ROW_BYTES:
                    return False
                continue
            whole = bytes(row).rstrip(b"\r\n")
            row.clear()
            if pattern is None:
                whole = whole.removeprefix(BYTE_ORDER_MARK)
                pattern = re.compile(CELL + rb"(?:\t" + CELL + rb"){%d}" % re.sub(QUOTED, b"", whole).count(b"\t"))
            if whole and not pattern.fullmatch(whole):
                return False
    return not is_open and not (joined and lines_fit)
