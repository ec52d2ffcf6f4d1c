"""JSON that every parser reads and every terminal survives.

Python's own writer emits `NaN`, which is no JSON, stumbles over lone surrogates when the text is
encoded, and leaves DEL and the C1 control characters raw. A run directory is read by other programs
and by `cat`, so here numbers that are not finite become null, lone surrogates become U+FFFD, and
control characters are escaped. Other characters, of whatever script, are kept as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029]")

_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced, so that it encodes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def plain(value: Any) -> Any:
    """The value in JSON's own types; scalars of numpy and torch are taken by their `item()`.

    Raises:
        TypeError: The value holds something that JSON has no word for.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return well_formed(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {well_formed(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return well_formed(str(value))
    if callable(getattr(value, "item", None)):
        return plain(value.item())
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """One JSON text; on a single line unless `indent` is given.

    Raises:
        TypeError: The value holds something that JSON has no word for.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(
        plain(value), ensure_ascii=False, allow_nan=False, indent=indent, separators=separators
    )
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def loads(data: bytes) -> Any:
    """Read UTF-8 JSON from anyone; NaN and infinities by name come back as null.

    Raises:
        ValueError: It is not JSON, not UTF-8, or nested beyond reason.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        # Only an escape can smuggle a lone surrogate into UTF-8; most texts have none.
        return plain(value) if b"\\ud" in data or b"\\uD" in data else value
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
