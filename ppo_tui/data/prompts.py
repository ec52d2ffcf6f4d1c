"""The prompts of a run, from a file of the user's own or from the bundled one."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path

from ppo_tui.config.schema import BUNDLED, DataConfig
from ppo_tui.data.excerpt import escaped, excerpt
from ppo_tui.data.readers import READERS, Row, read_txt, too_large
from ppo_tui.errors import ConfigError, DataError

DEFAULT_COLUMN = "prompt"

MOST_PROMPTS = 2_000_000
"""Prompts of a run; each is held in memory, and later its tokens."""

PATH_LENGTH = 200

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it stands in its file.

    Args:
        id: Its place in the file, counted from 1: the line where it begins, or the row of a parquet
            file. Unique within the file, and the same however many prompts are left out.
        text: The prompt, before any template.
    """

    id: int
    text: str


def load_prompts(config: DataConfig) -> list[Prompt]:
    """All prompts that the configuration names, in the order of the file, empty ones left out.

    Raises:
        ConfigError: A column is named for a file that has none (``data.column``).
        DataError: The file is not there (``data.missing``), a folder (``data.is_folder``) or not to
            be read (``data.permission``); of no known format, or not of the one its name says
            (``data.format``); not UTF-8 (``data.not_utf8``); without the column
            (``data.column_missing``); has a line or value that is no prompt (``data.bad_line``);
            is more than can be read (``data.too_large``: see `ppo_tui.data.readers`); or holds no
            prompt at all (``data.empty``).
    """
    if config.prompts == BUNDLED:
        from ppo_tui.assets import prompts_file

        _refuse_column(config, "the bundled prompts have")
        with as_file(prompts_file()) as path:
            return _texts(read_txt(path, "The bundled prompt file", ""), "bundled")

    shown = f"Prompt file {excerpt(config.prompts, PATH_LENGTH)}"
    path = _regular_file(config.prompts, shown)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        suffix = f"its suffix is {excerpt(path.suffix)}" if path.suffix else "it has no suffix"
        raise DataError(
            f"{shown} is of no known format: {suffix}, not {_formats()}.",
            code="data.format",
        )
    if reader is read_txt:
        _refuse_column(config, "a .txt file has")
    try:
        return _texts(reader(path, shown, config.column or DEFAULT_COLUMN), shown)
    except OSError as error:
        raise _unreadable(shown, error) from error


def _regular_file(name: str, shown: str) -> Path:
    try:
        path = Path(name).expanduser()
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, RuntimeError, ValueError) as error:
        # RuntimeError: the user in ~user is not known; ValueError: the name holds a NUL.
        raise DataError(
            f"{shown} does not exist; data.prompts takes a {_formats()} file, or bundled.",
            code="data.missing",
        ) from error
    except OSError as error:
        raise _unreadable(shown, error) from error
    if stat.S_ISDIR(mode):
        raise DataError(
            f"{shown} is a folder; name the {_formats()} file in it.", code="data.is_folder"
        )
    if not stat.S_ISREG(mode):
        raise DataError(f"{shown} is no regular file.", code="data.format")
    return path


def _unreadable(shown: str, error: OSError) -> DataError:
    if isinstance(error, PermissionError):
        return DataError(f"{shown} may not be read: permission denied.", code="data.permission")
    return DataError(f"{shown} cannot be read: {error.strerror or error}.", code="data.missing")


def _formats() -> str:
    *first, last = READERS
    return f"{', '.join(first)} or {last}"


def _refuse_column(config: DataConfig, what: str) -> None:
    if config.column is not None:
        raise ConfigError(
            f"data.column is {config.column!r}, but {what} no columns; leave it out.",
            code="data.column",
        )


def _texts(rows: Iterable[Row], shown: str) -> list[Prompt]:
    prompts: list[Prompt] = []
    empty = 0
    for row in rows:
        text = row.value
        if not isinstance(text, str):
            what = "null" if text is None else f"{escaped(str(text))} ({type(text).__name__})"
            raise DataError(
                f"{shown} {row.unit} {row.number} holds {what} where a text was expected.",
                code="data.bad_line",
            )
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise DataError(
                f"{shown} {row.unit} {row.number} holds half a surrogate pair, which is no "
                f"character: {excerpt(text)}.",
                code="data.bad_line",
            )
        if not text.strip():
            empty += 1
            continue
        if len(prompts) == MOST_PROMPTS:
            raise too_large(shown, f"holds more than {MOST_PROMPTS} prompts")
        prompts.append(Prompt(row.number, text))
    if not prompts:
        raise DataError(f"{shown} holds no prompt.", code="data.empty")
    if empty:
        log.info("%s: %d empty prompts were left out", shown, empty)
    return prompts
