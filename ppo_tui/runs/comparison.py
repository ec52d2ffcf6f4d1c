"""Several runs side by side: settings that differ, numbers, and answers to the same prompts.

For `ppo-tui runs compare` and the app's compare screen. Curves are not here: they come from each
run's history. Reads leniently: a run of an older or newer ppo-tui is compared as far as it goes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppo_tui.errors import PpoTuiError, UsageError
from ppo_tui.runs.answers import Answer, AnswerBook
from ppo_tui.runs.catalog import RunSummary, Stamp, WatchedRun, last_step, stamp_of
from ppo_tui.runs.paths import shown

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

FEWEST, MOST = 2, 8
"""How many runs can be compared."""

_LONGEST_CONFIG = 1 << 20
_FIRST = ("reward/score", "reward/total", "kl/ref", "eval/share_of_optimum", "eval/score_tuned")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class SettingValue:
    """What one run has for a setting.

    Attributes:
        text: The value as it is written in a configuration; empty if there is none.
        is_default: The file, of an older ppo-tui, does not say it, so it is the default.
    """

    text: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting in which the runs differ: its dotted key, and a value for each run."""

    key: str
    values: tuple[SettingValue, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """One number of each run, None where a run does not have it."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SamePrompt:
    """A prompt that more than one run answered.

    Attributes:
        prompt: The prompt.
        bases: The base model's answer in each run; None where there is none.
        tuned: The policy's newest answer in each run; None where there is none.
    """

    prompt: str
    bases: tuple[Answer | None, ...]
    tuned: tuple[Answer | None, ...]

    @property
    def common_base(self) -> Answer | None:
        """The base model's answer, where all runs that have one have the same."""
        known = [answer for answer in self.bases if answer is not None]
        same = len({answer.response for answer in known}) == 1
        return known[0] if same else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs side by side; every tuple of values is in the order of the runs.

    Attributes:
        names: What each run is called here, told apart where two have the same name.
        summaries: Each run in short.
        problems: Why a run's settings could not be read; empty where they could.
    """

    names: tuple[str, ...]
    summaries: tuple[RunSummary, ...]
    problems: tuple[str, ...]
    settings: tuple[Difference, ...]
    figures: tuple[Figures, ...]
    prompts: tuple[SamePrompt, ...]


class Comparer:
    """Compares the same runs again and again; what was read of their journals is remembered.

    Args:
        runs: Two to eight different runs.

    Raises:
        UsageError: They are too few, too many, or one of them stands twice.
    """

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        self.runs = check_comparable(runs)
        self.names = told_apart(self.runs)
        self._sides = [_Side(run) for run in self.runs]
        self._settings: tuple[Difference, ...] = ()

    def look(self) -> Comparison:
        """The comparison as it is now; a run that broke or vanished has its problem."""
        changed = [side.read_config() for side in self._sides]
        if any(changed):
            self._settings = differing_settings([side.config for side in self._sides])
        for side in self._sides:
            side.book.poll()
        summaries = tuple(side.watched.look() for side in self._sides)
        return Comparison(
            names=self.names,
            summaries=summaries,
            problems=tuple(
                summary.problem or side.problem
                for summary, side in zip(summaries, self._sides, strict=True)
            ),
            settings=self._settings,
            figures=_figures([side.numbers() for side in self._sides]),
            prompts=_same_prompts([side.book for side in self._sides]),
        )


class _Side:
    """One of the runs, and what is remembered of it."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.watched = WatchedRun(run.path)
        self.book = AnswerBook(run)
        self.config: Mapping[str, Any] | None = None
        self.problem = ""
        self._stamp: tuple[Stamp] | None = None

    def read_config(self) -> bool:
        """Read the settings if they are new; whether they are."""
        stamp = (stamp_of(str(self.run.config_path)),)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self.config, self.problem = _read_config(self.run)
        return True

    def numbers(self) -> dict[str, float]:
        """Those of the last step and of the last evaluation."""
        step = last_step(self.run)
        return {**(step.metrics if step else {}), **self.book.evaluation}


def check_comparable(runs: Sequence[RunDirectory]) -> tuple[RunDirectory, ...]:
    """The runs, if they can be compared.

    Raises:
        UsageError: They are too few, too many, or one of them stands twice (`usage.compare`).
    """
    if not FEWEST <= len(runs) <= MOST:
        raise UsageError(
            f"{FEWEST} to {MOST} runs can be compared; named: {len(runs)}",
            code="usage.compare",
        )
    seen: set[str] = set()
    for run in runs:
        place = os.path.realpath(run.path)
        if place in seen:
            raise UsageError(
                f"{shown(run.name)} was named twice: a run is compared with others",
                code="usage.compare",
            )
        seen.add(place)
    return tuple(runs)


def told_apart(runs: Sequence[RunDirectory]) -> tuple[str, ...]:
    """The runs' names, with as many folders before them as it takes to tell them apart."""
    parts = [run.path.parts for run in runs]
    depths = [1] * len(parts)
    while True:
        names = [
            os.sep.join(own[-depth:]).replace(os.sep * 2, os.sep)
            for own, depth in zip(parts, depths, strict=True)
        ]
        longer = [
            depth + 1 if names.count(name) > 1 and depth < len(own) else depth
            for name, own, depth in zip(names, parts, depths, strict=True)
        ]
        if longer == depths:
            return tuple(names)
        depths = longer


def differing_settings(configs: Sequence[Mapping[str, Any] | None]) -> tuple[Difference, ...]:
    """The settings in which configurations differ, in the order of the schema.

    Args:
        configs: What each `config.yaml` holds; None for one that cannot be read, which differs in
            nothing.
    """
    defaults = _flat(_defaults())
    flat = [None if values is None else _flat(values) for values in configs]
    keys = dict.fromkeys(
        [*defaults, *(key for values in flat if values is not None for key in values)]
    )
    found = []
    for key in keys:
        cells = [_cell(values, key, defaults) for values in flat]
        compared = {text for cell in cells if cell is not None for text in [cell.text]}
        if len(compared) > 1:
            found.append(Difference(key, tuple(cell or SettingValue("") for cell in cells)))
    return tuple(found)


def _cell(
    values: Mapping[str, Any] | None, key: str, defaults: Mapping[str, Any]
) -> SettingValue | None:
    if values is None:
        return None
    if key in values:
        return SettingValue(_written(values[key]))
    # The terms of a reward are the run's own choice: a term that is not there is no default one.
    if key in defaults and not key.startswith("reward.terms"):
        return SettingValue(_written(defaults[key]), is_default=True)
    return SettingValue("")


def _defaults() -> dict[str, Any]:
    from ppo_tui.config.schema import RunConfig  # here: pydantic is slow to import

    return RunConfig().model_dump(mode="json")


def _read_config(run: RunDirectory) -> tuple[Mapping[str, Any] | None, str]:
    """The settings in the run's file, unchecked; or why they cannot be read."""
    from ppo_tui.config.yaml_io import load_yaml
    from ppo_tui.runs.atomic import read_small

    where = shown(run.config_path)
    try:
        values = load_yaml(read_small(run.config_path, _LONGEST_CONFIG).decode("utf-8"), where)
    except OSError as error:
        return None, f"{where} cannot be read: {error.strerror or type(error).__name__}"
    except UnicodeDecodeError:
        return None, f"{where} is not UTF-8 text"
    except PpoTuiError as error:
        return None, error.message
    if not isinstance(values, dict):
        return None, f"{where} holds no settings"
    return values, ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings by dotted key, as `--set` names them; items of a list by their number."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            flat |= _flat({str(number): item for number, item in enumerate(value)}, f"{name}.")
        else:
            flat[name] = value
    return flat


def _written(value: Any) -> str:
    """A value as it stands in a configuration, a number in one form however it was written."""
    import json

    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _figures(numbers: Sequence[Mapping[str, float]]) -> tuple[Figures, ...]:
    names = {name for own in numbers for name in own}
    ordered = [name for name in _FIRST if name in names]
    ordered += sorted(names - set(ordered))
    return tuple(Figures(name, tuple(own.get(name) for own in numbers)) for name in ordered)


def _same_prompts(books: Sequence[AnswerBook]) -> tuple[SamePrompt, ...]:
    """Prompts with answers of at least two runs; those that most runs answered come first."""
    prompts = dict.fromkeys(prompt for book in books for prompt in book.tuned)
    counts = {prompt: sum(prompt in book.tuned for book in books) for prompt in prompts}
    shared = [prompt for prompt in prompts if counts[prompt] > 1]
    return tuple(
        SamePrompt(
            prompt,
            tuple(book.base.get(prompt) for book in books),
            tuple(book.tuned.get(prompt) for book in books),
        )
        for prompt in sorted(shared, key=lambda prompt: -counts[prompt])
    )
