"""Who rates: the name under which a person's ratings are kept, the same in the app and without."""

from __future__ import annotations

from ppo_tui.errors import UsageError
from ppo_tui.text.plain import shortened

LONGEST_NAME = 40

NAMELESS = "me"
"""Where the system knows no name, as in some containers."""


def own_name() -> str:
    """The login name, where it can stand in a table."""
    import getpass  # here, because most viewers never need it

    try:
        name = getpass.getuser().strip()
    except (KeyError, OSError, ImportError):  # no such user
        return NAMELESS
    return name if _is_name(name) else NAMELESS


def checked_name(text: str) -> str:
    """The name that a person chose.

    Raises:
        UsageError: It is empty, too long, or cannot be shown.
    """
    name = text.strip()
    if not _is_name(name):
        raise UsageError(
            f"The rater's name is {shortened(text, 60)!r}; it must have 1 to {LONGEST_NAME} "
            "printable characters.",
        )
    return name


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()
