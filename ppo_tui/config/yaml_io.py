"""Reading and writing YAML: plain data only, no tags, no aliases, no duplicate keys.

Anchors and aliases are refused because a few of them can expand to gigabytes; duplicate keys
because YAML would silently keep the last.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from ppo_tui.errors import ConfigError

MAX_BYTES = 1_000_000
"""A configuration larger than this is not one."""


MAX_DEPTH = 100
"""Lists and groups inside each other; no setting needs more than six."""

_PLAIN = {
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")
}


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without aliases and tags, with numbers such as 1e-4 read as numbers."""

    _depth = 0

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _PLAIN:
            raise yaml.constructor.ConstructorError(
                None, None, f"the tag {node.tag!r} is not allowed", node.start_mark
            )
        return super().construct_object(node, deep=deep)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "it is nested too deeply", event.start_mark
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _PlainDumper(yaml.SafeDumper):
    """SafeDumper that quotes a text such as 1e-4, which the loader reads as a number."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # Only the double-quoted style escapes the line ends that are rarer than \n.
        rare = set(text) & set("\r\x85\u2028\u2029\ufeff")
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if rare else None)


_PlainDumper.add_representer(str, _PlainDumper.represent_text)


# YAML 1.1 reads 1e-4 (no dot) as a text; everybody who writes a learning rate means a number.
_NUMBER = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
for _class in (_PlainLoader, _PlainDumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789."))
# A date, a lone = and << are texts here: no setting is of a type of their own.
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN]
    for first, resolvers in _PlainLoader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str, source: str) -> Any:
    """Parse one YAML document into plain data.

    Args:
        text: The document.
        source: What it is called in an error.

    Raises:
        ConfigError: It is not plain YAML; the sentence names the line.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(
            f"{source} is not valid YAML{where}: {error.problem or error.context}.",
            code="config.yaml",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"{source} is not valid YAML: {first_line}.", code="config.yaml"
        ) from error


def read_yaml(path: Path) -> Any:
    """Parse the YAML file at `path`; errors as of `load_yaml`, and of unreadable files."""
    try:
        if path.is_dir():
            raise ConfigError(
                f"{path} is a folder, not a configuration file.", code="config.is_folder"
            )
        with _opened(path) as file:
            content = file.read(MAX_BYTES + 1)  # a device may have no end
        if len(content) > MAX_BYTES:
            raise ConfigError(
                f"{path} is larger than a configuration can be ({MAX_BYTES} bytes).",
                code="config.too_large",
            )
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {path}.", code="config.missing") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}).", code="config.not_utf8"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", code="config.unreadable"
        ) from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(
            f"{str(path)!r} cannot be a file: {error}.", code="config.missing"
        ) from error
    return load_yaml(text, str(path))


def _opened(path: Path) -> BinaryIO:
    """The file, without waiting for anybody: a pipe that nobody writes to never answers."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"{path} is a pipe, not a configuration file.", code="config.unreadable")
    return os.fdopen(fd, "rb")


def dump_yaml(data: Any) -> str:
    """`data` as YAML that `load_yaml` reads back, keys in their order."""
    text: str = yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _LineDumper(_PlainDumper):
    """Writes all texts so that they stay in one line."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        rare = set(text) & set("\n\r\x85\u2028\u2029\ufeff")
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if rare else None)


_LineDumper.add_representer(str, _LineDumper.represent_text)


def line_of_yaml(data: Any) -> str:
    """`data` in one line of YAML that `load_yaml` reads back, as after `--set key=`."""
    text: str = yaml.dump(
        data,
        Dumper=_LineDumper,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
        default_flow_style=True,
    )
    # A bare scalar is followed by the mark of the document's end.
    return text.removesuffix("\n").removesuffix("\n...")
