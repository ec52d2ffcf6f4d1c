"""Tokens and passwords kept out of whatever is written or shown: errors, logs, tracebacks.

What is known to be secret is taken out by its value: the environment's variables whose names say
so, and the token that Hugging Face keeps in a file. What only looks like a secret is taken out by
its shape. A secret of neither kind is not found; so none belongs into a configuration.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterator

REDACTED = "…redacted…"

SHORTEST = 8
"""Characters of a variable's value that is taken for a secret: shorter ones are words."""

SHORTEST_SURE = 12
"""As `SHORTEST`, where being taken for a secret means being refused."""

_SAYS_SECRET = re.compile(
    r"(?:^|_)(?:(?:API|ACCESS|AUTH|PRIVATE|SECRET)?(?:TOKEN|KEYS?)|SECRETS?|CREDENTIALS?"
    r"|(?:PG)?PASS(?:WORD|WD|PHRASE)?)(?:_|$)|^MYSQL_PWD$",
    re.IGNORECASE,
)
_SAYS_PLACE = re.compile(r"_(?:PATH|FILE|DIR|HOME|SOCK|NAME|USER|URL|TYPE|MODE)$", re.IGNORECASE)

# Every repetition is bounded or can begin in one place only: time grows with the text, no faster.
_SHAPES = re.compile(
    r"""
      (?<![A-Za-z0-9])hf_[A-Za-z0-9]{16,}
    | (?<![A-Za-z0-9])sk-(?=[A-Za-z0-9_-]{0,64}[0-9])[A-Za-z0-9_-]{20,}
    | (?<![A-Za-z0-9])gh[opsur]_[A-Za-z0-9]{20,}
    | (?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{20,}
    | (?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20,}
    | (?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,}
    | (?<![A-Za-z0-9])A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z])
    | (?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}
    | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}
    | (?<=[Bb]earer[ ])(?=[A-Za-z0-9_~+-]{0,64}[0-9])[A-Za-z0-9_~+-]{20,}[A-Za-z0-9._~+/=-]*
    | (?<=://)[^\s/:@'"<>]{0,128}:[\w!$&'()*+,;=.%~-]{1,512}(?=@[\w\[])
    | -----BEGIN[ ][A-Z ]{0,32}PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]{0,32}PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)

_MARKS = (
    "hf_",
    "sk-",
    "gh",
    "github_pat_",
    "glpat-",
    "xox",
    "IA",
    "AIza",
    "eyJ",
    "earer ",
    "://",
    "-----BEGIN ",
)
"""Every shape holds one of these; to look for them first takes most texts no time at all."""

# A sentence that was shortened may end within a secret.
_CUT = ("…", "...")


def redacted(text: str) -> str:
    """The text without secrets: `…redacted…` stands for each.

    A secret is found in the spelling of the environment and in that of `repr`. Time is linear in
    the text.
    """
    spellings = [
        spelling for value in _known() for spelling in dict.fromkeys((value, repr(value)[1:-1]))
    ]
    for spelling in spellings:
        text = text.replace(spelling, REDACTED)
    if any(mark in text for mark in _MARKS):
        text = _SHAPES.sub(REDACTED, text)
    for spelling in spellings:
        text = _without_beginning(text, spelling)
    return text


def holds_secret(text: str) -> bool:
    """Whether a text holds what is surely a secret: a known one, or something of such a shape."""
    sure = (value for value in _known() if len(value) >= SHORTEST_SURE)
    return _SHAPES.search(text) is not None or any(value in text for value in sure)


def _known() -> Iterator[str]:
    """What this process knows to be secret, a longer one before one that it begins with."""
    found = {os.environ[name] for name in os.environ if _says_secret(name)}
    # A path names where a secret lies, and is needed in sentences.
    found = {each for each in found if len(each) >= SHORTEST and not each.startswith(("/", "~"))}
    token = _hugging_face_token()
    if len(token) >= SHORTEST:
        found.add(token)
    yield from sorted(found, key=len, reverse=True)


@functools.lru_cache(maxsize=1024)
def _says_secret(name: str) -> bool:
    return bool(_SAYS_SECRET.search(name)) and not _SAYS_PLACE.search(name)


def _hugging_face_token() -> str:
    home = os.environ.get("HF_HOME")
    if not home:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
        home = os.path.join(cache, "huggingface")
    place = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
    try:
        path = os.path.expanduser(place)
        found = os.stat(path)
        return _token_in(path, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError):  # there is none, which is common
        return ""


@functools.lru_cache(maxsize=4)
def _token_in(path: str, _changed: int, size: int) -> str:
    if not os.path.isfile(path) or size > 4096:
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096).strip()


def _without_beginning(text: str, secret: str) -> str:
    """The text without a secret's beginning where the text, or a shortened part of it, ends."""
    start = text.find(beginning := secret[:SHORTEST])
    while start >= 0:
        pairs = zip(secret, text[start : start + len(secret)], strict=False)
        end = start + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        if end == len(text) or text.startswith(_CUT, end):
            text = text[:start] + REDACTED + text[end:]
            end = start + len(REDACTED)
        start = text.find(beginning, end)
    return text
