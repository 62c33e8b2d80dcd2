"""How many fields a file has, before it is parsed: two bytes of an empty message become a hundred in memory."""

from __future__ import annotations

from typing import Any, Final

# 150 MB when parsed; the graph of a large language model has a fifth of them.
MOST_FIELDS: Final = 1_000_000
_LEAST_BYTES: Final = 2  # of a field: its tag, and a length or a number
_SIZES: Final = {1: 8, 5: 4}  # of wire types


def has_too_many_fields(content: bytes, descriptor: Any) -> bool:
    """Say whether a message has more fields than a million, in all its messages together.

    What is no message of the kind is left to the parser to refuse.

    Args:
        content: the file's bytes.
        descriptor: of the message, as protobuf has it.
    """
    if len(content) < _LEAST_BYTES * MOST_FIELDS:
        return False
    count, spans = 0, [(0, len(content), descriptor)]
    while spans and count <= MOST_FIELDS:
        place, end, kind = spans.pop()
        while place < end and count <= MOST_FIELDS:
            count += 1
            tag, place = _number(content, place, end)
            if tag & 7 == 2:
                size, place = _number(content, place, end)
                field = kind.fields_by_number.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    spans.append((place, min(place + size, end), field.message_type))
                place += size
            elif tag & 7 == 0:
                _, place = _number(content, place, end)
            elif tag & 7 in _SIZES:
                place += _SIZES[tag & 7]
            else:
                break
    return count > MOST_FIELDS


def _number(content: bytes, place: int, end: int) -> tuple[int, int]:
    """Return the varint at *place*, and the place after it."""
    if place < end and content[place] < 128:  # most of them, in a third of the time
        return content[place], place + 1
    number = shift = 0
    while place < end and shift < 70:
        byte = content[place]
        number |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return number, place
        shift += 7
    return number, end
