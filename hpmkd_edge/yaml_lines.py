"""YAML as plain values, with the line of every key, so that a complaint can name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from hpmkd_edge.errors import BadConfiguration

if TYPE_CHECKING:
    import yaml

Place = tuple[str | int, ...]  # keys and list positions, from the top of the file

# A few aliases of aliases make a file of billions of values.
MOST_VALUES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's values and where they stand.

    Attributes:
        value: made of dicts with text keys, lists and scalars.
        lines: the line, from 1, of every key and list item.
    """

    path: Path
    value: object
    lines: dict[Place, int]

    def refuse(self, place: Place, reason: str) -> NoReturn:
        """Raise BadConfiguration with the file, the line of *place* or of what holds it, and *reason*."""
        _refuse(self.path, self.lines, place, reason)


def read_yaml(path: Path, *, may_be_null: frozenset[str] = frozenset()) -> Source:
    """Read one YAML document.

    Args:
        path: UTF-8 text.
        may_be_null: the keys that may stand without a value.

    Raises:
        BadConfiguration: it cannot be read, is not YAML, or has a key twice or without a value.
    """
    import yaml

    lines: dict[Place, int] = {(): 1}
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = {} if root is None else _Reader(path, lines, may_be_null).plain((), root)
    except OSError as error:
        raise BadConfiguration(f"{path.absolute()} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadConfiguration(f"{path} is not UTF-8 text; a YAML file is needed.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise BadConfiguration(f"{path}, line {line}: this is not YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise BadConfiguration(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error
    except RecursionError as error:
        raise BadConfiguration(f"{path} is nested too deeply; a few levels are needed.") from error
    return Source(path=path, value=value, lines=lines)


def _refuse(path: Path, lines: dict[Place, int], place: Place, reason: str) -> NoReturn:
    known = place
    while known not in lines:
        known = known[:-1]
    where = f"{'.'.join(map(str, place))}: " if place else ""
    raise BadConfiguration(f"{path}, line {lines[known]}: {where}{reason}")


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path
    lines: dict[Place, int]
    may_be_null: frozenset[str]

    def plain(self, place: Place, node: yaml.Node) -> object:
        import yaml

        if len(self.lines) > MOST_VALUES:
            self.refuse((), f"more than {MOST_VALUES:,} values were found; fewer are needed.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(place, node)
        if isinstance(node, yaml.SequenceNode):
            found = []
            for position, item in enumerate(node.value):
                inner = (*place, position)
                self.lines[inner] = item.start_mark.line + 1
                found.append(self.plain(inner, item))
            return found
        try:
            value: object = yaml.SafeLoader("").construct_object(node)
        except (ValueError, LookupError, AttributeError):  # 2020-13-45, !!bool x, !!timestamp x
            self.refuse(place, f"{node.value!r:.60} was found, which is no value in YAML.")
        if value is None and not self.may_be_null.intersection(map(str, place[-1:])):
            self.refuse(place, "the value is missing; give it one, or leave the key out.")
        return value

    def _mapping(self, place: Place, node: yaml.MappingNode) -> dict[str, object]:
        import yaml

        found: dict[str, object] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(place, "a key is a list or a mapping; a name is needed.")
            key = str(key_node.value)
            inner = (*place, key)
            if key in found:
                line = self.lines[inner]
                self.lines[inner] = key_node.start_mark.line + 1
                self.refuse(inner, f"the key stands in line {line} already; it is needed once.")
            self.lines[inner] = key_node.start_mark.line + 1
            found[key] = self.plain(inner, value)
        return found

    def refuse(self, place: Place, reason: str) -> NoReturn:
        _refuse(self.path, self.lines, place, reason)
