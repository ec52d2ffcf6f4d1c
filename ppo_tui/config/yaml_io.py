"""Reading and writing YAML: plain data only, no tags, no aliases, no duplicate keys.

Anchors and aliases are refused because a few of them can expand to gigabytes; duplicate keys
because YAML would silently keep the last.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ppo_tui.errors import ConfigError

MAX_BYTES = 1_000_000
"""A configuration larger than this is not one."""


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without aliases, with numbers such as 1e-4 read as numbers."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

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


# YAML 1.1 reads 1e-4 (no dot) as a text; everybody who writes a learning rate means a number.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)


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
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                f"{path} is larger than a configuration can be ({MAX_BYTES} bytes).",
                code="config.too_large",
            )
        text = path.read_text(encoding="utf-8-sig")
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
    return load_yaml(text, str(path))


def dump_yaml(data: Any) -> str:
    """`data` as YAML that `load_yaml` reads back, keys in their order."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
