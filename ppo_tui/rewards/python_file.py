"""A reward function in a Python file of the user's own.

The file is read once, refused unless the user has confirmed that content (`ppo_tui.trust`), and
executed under a module name of its own; its folder does not join `sys.path`, no bytecode is written
beside it, and what is executed is what was read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ppo_tui.config.rewards import PythonTerm
from ppo_tui.errors import ResourceError, RewardError, did_you_mean
from ppo_tui.rewards.answers import drained
from ppo_tui.rewards.foreign import foreign_code, printable
from ppo_tui.rewards.protocol import Sample
from ppo_tui.trust import require_reward_file


class PythonFile:
    """Calls ``function(prompts=[...], responses=[...])``; it returns one number for each response.

    Raises:
        ConfigError: The user has not confirmed that this content may run (``trust.reward_file``).
        ResourceError: The file is not there or cannot be read (``reward.file_missing``,
            ``reward.file_unreadable``).
        RewardError: The file cannot be imported (``reward.import``); it has no such function, or
            one that cannot be called so (``reward.function``); when called, the function raises
            (``reward.raised``) or answers with what is no list of scores (``reward.count``).
    """

    def __init__(self, term: PythonTerm) -> None:
        self._path = _resolved(term.path)
        self._shown = printable(str(self._path), 200)
        self._name = term.function
        source = _source(self._path, self._shown)
        require_reward_file(self._path, source)
        self._function = self._find(_executed(self._path, source))

    def __call__(self, samples: Sequence[Sample]) -> Sequence[float]:
        """Score the response of each sample."""
        prompts = [sample.prompt for sample in samples]
        responses = [sample.response for sample in samples]
        what = f"{self._name}() in {self._shown} raised"
        with foreign_code(what, code="reward.raised", file=self._path):
            # Drained here: a generator runs the user's code while it is read.
            return drained(self._function(prompts=prompts, responses=responses), len(samples))

    def _find(self, module: ModuleType) -> Callable[..., Any]:
        function: Any = getattr(module, self._name, None)
        if not hasattr(module, self._name):
            known = [
                name
                for name, value in vars(module).items()
                if inspect.isfunction(value) and not name.startswith("_")
            ]
            reason = f"has no function {self._name!r} ({did_you_mean(self._name, known)})"
        elif not callable(function):
            reason = f"has {self._name!r}, but that is a {type(function).__name__}, not a function"
        elif inspect.iscoroutinefunction(function):
            reason = f"has {self._name!r} as an async function; it must be a plain one"
        elif not _takes_prompts_and_responses(function):
            reason = (
                f"has {self._name!r}, but that cannot be called with the keyword arguments "
                f"prompts and responses"
            )
        else:
            return cast("Callable[..., Any]", function)
        raise RewardError(f"The reward file {self._shown} {reason}.", code="reward.function")


def _resolved(path: str) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # no such home, a loop of links, a NUL
        return Path(path)


def _source(path: Path, shown: str) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
        exists = path.exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ResourceError(
            f"The reward file {shown} cannot be read: {reason}.", code="reward.file_unreadable"
        ) from error
    if exists:
        raise ResourceError(
            f"The reward file {shown} cannot be read: it is a folder or no regular file.",
            code="reward.file_unreadable",
        )
    raise ResourceError(
        f"The reward file {shown} does not exist; path is relative to where the run starts.",
        code="reward.file_missing",
    )


def _executed(path: Path, source: bytes) -> ModuleType:
    name = f"ppo_tui_reward_{hashlib.sha256(str(path).encode('utf-8', 'replace')).hexdigest()[:16]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None  # with a loader of None it always is one
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    what = f"The reward file {printable(str(path), 200)} cannot be imported:"
    # dataclasses and pickle look a class's module up here.
    sys.modules[name] = module
    try:
        with foreign_code(what, code="reward.import", file=path):
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _takes_prompts_and_responses(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(prompts=[], responses=[])
    except TypeError:
        return False
    except ValueError:  # some callables written in C have no signature; the call will tell
        return True
    return True
