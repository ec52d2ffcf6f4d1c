"""Go on with a run that is on disk, or begin another from its settings.

Both read the stored `config.yaml`, never what a screen or a command remembers of it.
"""

from __future__ import annotations

from subprocess import Popen
from typing import Any

from ppo_tui.config.resolve import ResolvedConfig, parse_config
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import RunBusy, RunError
from ppo_tui.prepare import preflight
from ppo_tui.runs.atomic import read_small
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import start_worker
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe
from ppo_tui.trust import Code, named_code, unconfirmed

_LONGEST_CONFIG = 1 << 20


def config_text(run: RunDirectory) -> str:
    """The run's stored configuration, as it stands in the file.

    Raises:
        RunError: It cannot be read (`run.config`).
    """
    try:
        return read_small(run.config_path, _LONGEST_CONFIG).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RunError(
            f"{shown(run.config_path)} cannot be read: {reason}", code="run.config"
        ) from error


def stored_config(run: RunDirectory) -> RunConfig:
    """The configuration that the run was started with.

    Raises:
        RunError: It cannot be read (`run.config`).
        ConfigError: It is not valid, or of a newer schema than this ppo-tui knows.
    """
    return parse_config(config_text(run), shown(run.config_path))


def copied_settings(run: RunDirectory) -> ResolvedConfig:
    """The run's settings as the beginning of another run.

    What differs from the defaults has the run as its origin.

    Raises:
        RunError: The configuration cannot be read.
        ConfigError: It is not valid.
    """
    config = stored_config(run)
    origin = f"run {run.name}"
    origins = dict.fromkeys(_changed(config.model_dump(), RunConfig().model_dump()), origin)
    return ResolvedConfig(config, _stem_of(run), origins)


def code_to_confirm(run: RunDirectory) -> tuple[Code, ...]:
    """The code that going on with a run would execute and that the user has not confirmed yet.

    None for a run that `resume_run` refuses anyway: it is at work, or finished.

    Raises:
        PpoTuiError: The configuration cannot be read, or a reward file.
    """
    seen = observe(run)
    if seen.alive or seen.phase is Phase.FINISHED:
        return ()
    return unconfirmed(named_code(stored_config(run)))


def resume_run(run: RunDirectory) -> Popen[bytes]:
    """Check what can be checked, then start a worker that goes on from the last checkpoint.

    Raises:
        RunBusy: A worker is there already.
        RunError: It is finished (`run.finished`), or its configuration cannot be read.
        PpoTuiError: See `preflight.check` and `start_worker`.
    """
    seen = observe(run)
    if seen.alive:
        raise RunBusy(
            f"{shown(run.name)} is running already",
            hint=f"`ppo-tui watch {shown(run.name)}` follows it.",
        )
    if seen.phase is Phase.FINISHED:
        raise RunError(
            f"{shown(run.name)} is finished; there is nothing to go on with",
            hint="Copy its settings into a new run with more steps.",
            code="run.finished",
        )
    preflight.check(stored_config(run))
    return start_worker(run)


def _changed(values: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> list[str]:
    changed = []
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            changed += _changed(value, default, f"{prefix}{key}.")
        elif value != default:
            changed.append(prefix + key)
    return changed


def _stem_of(run: RunDirectory) -> str:
    """What the run was called after: its name without the date that was put behind it."""
    stem, _, rest = run.name.rpartition("-20")
    return stem if stem and rest[:1].isdigit() else run.name
