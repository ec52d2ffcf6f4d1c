"""Nobody's code runs unless the user has said so.

A configuration may come from somebody else: a preset, a file, a run directory. It can name two
kinds of code: a Python file as a reward, and the Python files that come with a model. Here stands
which code that is, and whether the user has confirmed it (`ppo_tui.confirmations` keeps it): a
reward file by the SHA-256 of its content, a model by its name, and one in a local folder by its
Python files' SHA-256 too, so that changed code is asked about anew. Whoever executes code asks here
at the last moment, about the very bytes; whoever starts a run asks before anything is made.
Nothing here executes or imports any of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_tui import confirmations
from ppo_tui.confirmations import Confirmed, Kind, Store
from ppo_tui.errors import ConfigError, PpoTuiError, ResourceError
from ppo_tui.runs.atomic import read_small
from ppo_tui.runs.paths import shown

if TYPE_CHECKING:
    from ppo_tui.config.schema import ModelConfig, RunConfig

SHORTEST_DIGEST = 12
"""Digits of a SHA-256 that are enough to name a file by."""

HEAD_LINES = 12
"""Lines of a reward file, or files of a model, that are shown before they are confirmed."""

_LONGEST_CODE = 1 << 24
_LONGEST_LINE = 160
_MOST_FILES = 500
_MAPS = ("config.json", "tokenizer_config.json")
"""The files of a model that say which code belongs to it."""

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class Code:
    """Code that a configuration names.

    Attributes:
        kind: A reward file, or the code that comes with a model.
        name: Absolute path of the file or the model's folder, or the model's name on the hub.
        sha256: Of the file's content, or over the folder's Python files; empty for the hub.
        revision: Of a model of the hub, if one is set.
        size: Bytes; 0 for the hub.
        head: The file's first lines, or the folder's Python files; not made harmless yet.
    """

    kind: Kind
    name: str
    sha256: str = ""
    revision: str | None = None
    size: int = 0
    head: tuple[str, ...] = ()

    def confirmed(self) -> Confirmed:
        """The entry that confirms it."""
        return Confirmed(self.kind, self.name, self.sha256, self.revision)

    def answers_to(self, name: str) -> bool:
        """Whether a person means it: by its path, its name, or its SHA-256's first digits."""
        return names(self.confirmed(), name)

    @property
    def add_command(self) -> str:
        """The command that confirms it."""
        revision = f" --revision {shlex.quote(self.revision)}" if self.revision else ""
        return f"ppo-tui trust add {shlex.quote(self.name)}{revision}"


def names(entry: Confirmed, name: str) -> bool:
    """Whether a person who says `name` means this entry."""
    digits = name.lower()
    if len(digits) >= SHORTEST_DIGEST and entry.sha256.startswith(digits):
        return True
    if entry.kind == "model" and name == entry.name:
        return True
    return os.path.isabs(entry.name) and _real(name) == _real(entry.name)


# ---- which code is named


def named_code(config: RunConfig) -> tuple[Code, ...]:
    """The code of others' that a run of this configuration would execute, each once.

    Raises:
        ResourceError: A reward file is not there (`reward.file_missing`) or cannot be read
            (`reward.file_unreadable`).
        ModelError: A file of a local model's cannot be read (`model.unreadable`).
    """
    from ppo_tui.config.rewards import PythonTerm

    terms = [term for term in config.reward.terms if isinstance(term, PythonTerm)]
    found = [reward_file(term.path) for term in terms] + list(model_code(config.model))
    return tuple(dict.fromkeys(found))


def reward_file(path: str) -> Code:
    """A Python file that a configuration names as a reward.

    Raises:
        ResourceError: It is not there (`reward.file_missing`) or cannot be read
            (`reward.file_unreadable`).
    """
    place = Path(_absolute(path))
    if "\0" in path or not place.exists():
        raise ResourceError(
            f"The reward file {shown(path)} does not exist.", code="reward.file_missing"
        )
    try:
        source = _content(place)
    except OSError as error:
        raise ResourceError(
            f"The reward file {shown(path)} cannot be read: {error.strerror}.",
            code="reward.file_unreadable",
        ) from error
    return _reward_code(place, source)


def model_code(model: ModelConfig) -> tuple[Code, ...]:
    """The code that the configuration of a model asks for: its own, and whose it refers to."""
    from ppo_tui.config.schema import BUNDLED

    if not model.trust_remote_code or model.name == BUNDLED:
        return ()
    return named_model(model.name, model.revision)


def named_model(name: str, revision: str | None = None) -> tuple[Code, ...]:
    """The code that comes with a model of this name, and that of other models it refers to."""
    folder = folder_of(name)
    if folder is None:
        return (hub_model(name, revision),)
    others = sorted(foreign_repositories(read_maps(folder)))
    return (folder_code(folder, python_files(folder)), *map(hub_model, others))


def hub_model(name: str, revision: str | None = None) -> Code:
    """The code that comes with a model of the hub; it is known by the model's name alone."""
    seen = "Its code is fetched from the hub; only a full commit as model.revision pins it."
    return Code("model", name, revision=revision, head=(seen,))


def folder_code(folder: Path, files: Mapping[str, bytes]) -> Code:
    """The code in a model's folder, as it was read by `python_files`."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(json.dumps([name, hashlib.sha256(content).hexdigest()]).encode() + b"\n")
    head = tuple(f"{name} ({len(content)} bytes)" for name, content in sorted(files.items()))
    return Code(
        "model",
        str(folder),
        digest.hexdigest(),
        size=sum(map(len, files.values())),
        head=_shortened(head) or ("It has no Python files.",),
    )


def folder_of(name: str) -> Path | None:
    """The absolute folder that a model's name stands for; None if it is one of the hub."""
    path = _absolute(name)
    return Path(path) if "\0" not in name and os.path.isdir(path) else None


def python_files(folder: Path) -> dict[str, bytes]:
    """The content of all Python files in a model's folder, by their path in it.

    Hidden folders are left out, and folders that are links: whoever loads the model takes no code
    from there.

    Raises:
        ResourceError: One cannot be read, or there are too many to be a model's
            (`model.unreadable`).
    """
    found: dict[str, bytes] = {}
    if not (folder / _MAPS[0]).is_file():
        return found  # no model; it may be a folder without end
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in files if name.endswith(".py")):
            found[path.relative_to(folder).as_posix()] = _read(path)
            if len(found) > _MOST_FILES:
                raise ResourceError(
                    f"{shown(folder)} holds more than {_MOST_FILES} Python files: too many to be "
                    "confirmed as a model's.",
                    code="model.unreadable",
                )
    return found


def read_maps(folder: Path) -> list[Any]:
    """What a local model's own files say of it; a file that is no JSON says nothing."""
    values = []
    for name in _MAPS:
        path = folder / name
        if path.exists():
            try:
                values.append(json.loads(_read(path)))
            except (ValueError, RecursionError):
                continue  # whoever loads the model refuses it in a sentence
    return values


def code_references(values: Iterable[Any]) -> list[str]:
    """Where the parsed files of a model say that its classes lie: `[repository--]module.Class`."""
    maps = [value.get("auto_map") for value in values if isinstance(value, dict)]
    return [text for each in maps for text in _texts(each)]


def foreign_repositories(values: Iterable[Any], own: str = "") -> set[str]:
    """The models of the hub, other than `own`, whose code the files of a model refer to."""
    references = (text for text in code_references(values) if "--" in text)
    return {text.split("--")[0] for text in references} - {own}


def facts(code: Code) -> list[str]:
    """What a person decides by, a line each: what it is, its SHA-256, its size."""
    if code.kind == "reward_file":
        return [f"Reward file {code.name} ({code.size} bytes)", f"SHA-256 {code.sha256}"]
    if not code.sha256:
        revision = f", revision {code.revision}" if code.revision else ""
        return [f"Python code that comes with the model {code.name}{revision}"]
    return [
        f"Python files of the model in {code.name} ({code.size} bytes)",
        f"SHA-256 over them {code.sha256}",
    ]


# ---- whether it may run


def unconfirmed(codes: Iterable[Code]) -> tuple[Code, ...]:
    """Those that the user has not confirmed as they are now."""
    return tuple(code for code in codes if not _is_confirmed(code, confirmations.read_store()))


def confirm(codes: Iterable[Code]) -> None:
    """Remember that the user wants these to run.

    Raises:
        ConfigError: The store is of a newer ppo-tui (`trust.newer`).
        StorageError: It cannot be written.
    """
    confirmations.add(code.confirmed() for code in codes)


def require(codes: Iterable[Code]) -> None:
    """Refuse what is not confirmed.

    Raises:
        ConfigError: The first that is not (`trust.reward_file`, `trust.model`).
    """
    store = confirmations.read_store()
    for code in codes:
        if not _is_confirmed(code, store):
            raise _refusal(code, store)


def require_reward_file(path: Path, source: bytes) -> None:
    """Refuse a reward file that is about to be executed, unless these bytes are confirmed.

    Raises:
        ConfigError: They are not (`trust.reward_file`).
    """
    require([_reward_code(path, source)])


def _is_confirmed(code: Code, store: Store) -> bool:
    if code.kind == "reward_file":
        # By its content, wherever it lies.
        return any(e.kind == code.kind and e.sha256 == code.sha256 for e in store.entries)
    wanted = (code.kind, code.name, code.sha256, code.revision)
    return any((e.kind, e.name, e.sha256, e.revision) == wanted for e in store.entries)


def _refusal(code: Code, store: Store) -> PpoTuiError:
    command = shown(code.add_command)
    digits = code.sha256[:SHORTEST_DIGEST]
    before = any(e.kind == code.kind and _real(e.name) == _real(code.name) for e in store.entries)
    if code.kind == "reward_file":
        what = f"The reward file {shown(code.name)} would run on this computer, and "
        of = "it"
    else:
        what = f"The model {shown(code.name)} brings Python code that would run here, and "
        of = f"revision {shown(code.revision)} of it" if code.revision else "it"
    if digits and before:
        state = f"it has changed since you confirmed it (SHA-256 {digits}… now)"
        way = f"read it again, then `{command}`."
    else:
        state = f"you have not confirmed {of}" + (f" (SHA-256 {digits}…)" if digits else "")
        way = f"read it, then `{command}`."
    return ConfigError(f"{what}{state}: {way}", hint=store.problem, code=f"trust.{code.kind}")


# ---- reading


def looks_like_a_hub_model(name: str) -> bool:
    """Whether a name can be that of a model on the hub."""
    return _HUB_ID.fullmatch(name) is not None


def _reward_code(path: Path, source: bytes) -> Code:
    head = source.decode("utf-8", "replace").splitlines()
    digest = hashlib.sha256(source).hexdigest()
    return Code("reward_file", str(path), digest, size=len(source), head=_shortened(head))


def _shortened(lines: Iterable[str]) -> tuple[str, ...]:
    all_lines = list(lines)
    kept = [
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in all_lines
    ]
    more = len(kept) - HEAD_LINES
    return (*kept[:HEAD_LINES], *([f"… and {more} more"] if more > 0 else []))


def _read(path: Path) -> bytes:
    try:
        return _content(path)
    except OSError as error:
        raise ResourceError(
            f"{shown(path)} cannot be read: {error.strerror}.", code="model.unreadable"
        ) from error


def _content(path: Path) -> bytes:
    """A file's content; a link is followed, since it is the content that is confirmed."""
    return read_small(Path(os.path.realpath(path)), _LONGEST_CODE)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return []


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(os.path.expanduser(path))
    except (RuntimeError, ValueError):  # a NUL
        return path


def _real(path: str) -> str:
    try:
        return os.path.realpath(_absolute(path))
    except (OSError, ValueError):
        return path
