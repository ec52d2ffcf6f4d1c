"""Refuses a configuration that holds a token or password.

A configuration is copied into the run, shown, exported and handed on. A secret belongs into an
environment variable: what needs it can read it there, and only its name stands here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ppo_tui.errors import ConfigError
from ppo_tui.text.plain import shortened
from ppo_tui.text.secrets import holds_secret, redacted

# Not every token is one: `eos_token` and `max_tokens` are none.
_SAYS_SECRET = re.compile(
    r"(?:^|[_-])(?:(?:api|access|auth|private|secret)[_-]?keys?|secret|pass(?:word|wd|phrase)"
    r"|credentials?|(?:api|access|auth|bearer|refresh|session|hf|hub|github|gitlab)[_-]?token)$"
    r"|^(?:api)?token$",
    re.IGNORECASE,
)
_NAMES_A_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\})")

_LONGEST_KEY = 80


def refuse_secrets(values: Mapping[str, Any], source: str) -> None:
    """Refuse what should not be written down.

    Args:
        values: The configuration as plain data, valid or not.
        source: Where it comes from.

    Raises:
        ConfigError: A value has the shape of a token, is one that this process knows, or stands
            under an option of a reward whose name says so (`config.secret`). The value itself is
            not told.
    """
    for key, value, is_option in _texts(values):
        last = key.rpartition(".")[2]
        named = is_option and _SAYS_SECRET.search(last) is not None
        if (named and value and not _NAMES_A_VARIABLE.fullmatch(value)) or holds_secret(value):
            raise ConfigError(
                f"{source}: {shortened(redacted(key), _LONGEST_KEY)} holds a token or password, "
                "which a run would write down: put it into an environment variable.",
                hint="What needs it, such as the hub's client or a reward, reads it from there.",
                code="config.secret",
            )


def _texts(values: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Every text in the values: its dotted key, the text, whether it is a reward's option."""
    # A stack of its own: a file may be nested more deeply than Python calls itself.
    waiting: list[tuple[str, Any, bool]] = [("", values, False)]
    while waiting:
        key, value, is_option = waiting.pop()
        if isinstance(value, str):
            yield key, value, is_option
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                below = f"{key}.{name}" if key else str(name)
                yield below, str(name), False
                waiting.append((below, inner, is_option or name == "options"))
        elif isinstance(value, list | tuple):
            waiting += [(f"{key}.{index}", inner, is_option) for index, inner in enumerate(value)]
