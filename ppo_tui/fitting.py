"""``python -m ppo_tui.fitting read|adapter … RUN|FILE…``: the part of fitting that needs the model.

    read     what the base model reads in rated texts that came without a reading
    adapter  trains a LoRA reward adapter on the ratings, and saves it

`ppo_tui.fit_messages` says how it is spoken to. It reads runs and files, takes no lock, and writes
nothing but the reward. It ends when its stdin does, so that it never outlives whoever started it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppo_tui.errors import (
    ExitCode,
    ModelError,
    OutOfMemory,
    PpoTuiError,
    RunError,
    UsageError,
)
from ppo_tui.fit_messages import Failure, Read, Reply, Status, Trained, encode
from ppo_tui.libraries import prepare_libraries
from ppo_tui.out_of_memory import is_out_of_memory
from ppo_tui.reward_fit import (
    Gathered,
    check_signal,
    evidence_for,
    gather,
    pool_for,
    record_of,
    refuse_taken,
)
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.spoken import end, take_over_stdout

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.policy.roles import Roles
    from ppo_tui.training.reward_adapter import Progress

log = logging.getLogger("ppo_tui.fitting")

Say = Callable[[Reply], None]


class Fitting:
    """The ratings of some runs and files, and the base model that they are about.

    Args:
        sources: The runs and files, as a person names them.
        say: Where the replies go.

    Raises:
        PpoTuiError: There are no ratings, they are of several bases, or the base is not there.
    """

    def __init__(self, sources: Sequence[str], say: Say, seed: int = 0) -> None:
        self._say = say
        self.gathered = gather(sources)
        check_signal(self.gathered.ratings)
        self._config = _config(self.gathered)
        say(Status("Loading the libraries."))
        from ppo_tui.policy.devices import choose_device
        from ppo_tui.policy.loading import load_base
        from ppo_tui.policy.roles import Roles
        from ppo_tui.training.reward_adapter import ADAPTER

        device = choose_device(self._config.device)
        say(Status(f"Loading {shown(self.gathered.model)} onto {device.type}."))
        self._roles: Roles = Roles(load_base(self._config.model, device), ADAPTER, seed=seed)

    def read(self) -> None:
        """Give those ratings a reading that have none."""
        from ppo_tui.taste.reading import encode as encoded
        from ppo_tui.training.candidates import read_texts

        texts = self.gathered.lacking
        if not texts:
            return
        what = "1 rated text has" if len(texts) == 1 else f"{len(texts)} rated texts have"
        self._say(Status(f"{what} no reading yet; the base model reads them."))
        arrays = read_texts(self._roles, self._config, texts)
        readings = dict(zip(texts, map(encoded, arrays), strict=True))
        for (prompt, response), reading in readings.items():
            self._say(Read(prompt, response, reading))
        self.gathered = self.gathered.with_readings(readings)

    def train(self, to: Path, epochs: int, seed: int, *, overwrite: bool) -> None:
        """Train a reward adapter and save it."""
        from ppo_tui.data.templates import CHAT
        from ppo_tui.taste.agreement import Point
        from ppo_tui.training.judged_texts import judged_of
        from ppo_tui.training.reward_adapter import Settings, train_reward_adapter
        from ppo_tui.training.reward_artefact import compare, save_reward_adapter

        refuse_taken(to, overwrite=overwrite)
        self.read()
        evidence = evidence_for(self.gathered)
        if evidence.unread:
            raise RunError(
                f"{evidence.unread} ratings carry a reading that this ppo-tui cannot use; fit "
                "without --adapter, which leaves them out",
                code="ratings.no_reading",
            )
        chat = self._config.data.template == CHAT
        judged = judged_of(self._roles.base, self.gathered.ratings, chat=chat)
        self._say(Status(f"Training on {len(judged)} ratings and pairs."))
        began = time.monotonic()
        trained = train_reward_adapter(
            self._roles, judged, Settings(epochs=epochs, seed=seed), self._tell
        )
        comparison = compare(trained, judged, evidence, pool_for(self.gathered, evidence))
        point = Point(len(judged), comparison.adapter.correlation, comparison.adapter.accuracy)
        more = {"epochs": trained.epochs, **comparison.to_json()}
        record = record_of(self.gathered, "adapter", [point], **more)
        save_reward_adapter(to, record, self._roles, trained.head, overwrite=overwrite)
        self._say(
            Trained(
                trained.epochs,
                time.monotonic() - began,
                comparison.adapter.to_json(),
                comparison.taste.to_json(),
                comparison.better,
            )
        )

    def _tell(self, progress: Progress) -> None:
        p = progress
        if p.fold:
            part = f"Held-out part {p.fold} of {p.folds}"
            told = f"{part}, epoch {p.epoch} of {p.epochs}: loss {p.held_out:.2f} a judgement."
        else:
            told = f"With all judgements, epoch {p.epoch} of {p.epochs}: loss {p.loss:.2f}."
        self._say(Status(told))


def _config(gathered: Gathered) -> RunConfig:
    """How the base of the ratings is loaded: as a run does, or by its name alone.

    Raises:
        ModelError: It is not there any more, or has other weights by now.
    """
    from ppo_tui.config.schema import ModelConfig, RunConfig
    from ppo_tui.plan.identity import base_identity

    configs = [_config_of(run) for run in gathered.runs]
    configs.append(RunConfig(model=ModelConfig(name=gathered.model or "?")))
    problem = "its weights are others by now"
    for config in configs:
        try:
            if base_identity(config.model) == gathered.base:
                return config
        except ModelError as error:
            problem = error.message.rstrip(".")
    raise ModelError(
        f"The base model of the ratings, {shown(gathered.model)}, is not to be had: {problem}.",
        hint="Put it back to where it was when the ratings were given.",
        code="reward.base_missing",
    )


def _config_of(run: RunDirectory) -> RunConfig:
    from ppo_tui.config.presets import as_mapping
    from ppo_tui.config.resolve import validate
    from ppo_tui.config.yaml_io import read_yaml

    source = str(run.config_path)
    return validate(as_mapping(read_yaml(run.config_path), source), source)


def _as_ours(error: Exception) -> PpoTuiError:
    if isinstance(error, PpoTuiError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(
            "The memory is too small to read the rated texts with this model.",
            hint="Wait until what else runs there has ended, or fit without --adapter.",
            code="memory.reward",
        )
    text = " ".join(str(error).split())[:300]
    return PpoTuiError(
        f"Something unforeseen happened: {type(error).__name__}{': ' if text else ''}{text}",
        hint="Please report it.",
        code="internal",
    )


def _end_with_stdin() -> None:
    def wait() -> None:
        while os.read(0, 1 << 16):
            pass
        end(ExitCode.FAILED)

    threading.Thread(target=wait, daemon=True, name="stdin").start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ppo_tui.fitting")
    commands = parser.add_subparsers(dest="command", required=True)
    read = commands.add_parser("read")
    adapter = commands.add_parser("adapter")
    adapter.add_argument("--to", type=Path, required=True)
    adapter.add_argument("--epochs", type=int, required=True)
    adapter.add_argument("--seed", type=int, required=True)
    adapter.add_argument("--force", action="store_true")
    for command in (read, adapter):
        command.add_argument("sources", nargs="+")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked, then end; returns an exit code."""
    asked = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    say = take_over_stdout(encode)
    prepare_libraries(sys.stderr)
    _end_with_stdin()
    try:
        if asked.command == "read":
            Fitting(asked.sources, say).read()
        else:
            if asked.epochs < 1:
                raise UsageError(f"--epochs is {asked.epochs}; it must be at least 1.")
            refuse_taken(asked.to, overwrite=asked.force)
            fitting = Fitting(asked.sources, say, asked.seed)
            fitting.train(asked.to, asked.epochs, asked.seed, overwrite=asked.force)
    # Whoever asked sees the sentence; the traceback is among its stderr.
    except Exception as error:
        ours = _as_ours(error)
        log.error("%s: %s", ours.code, ours.message, exc_info=error.__cause__ or error)
        say(Failure.of(ours))
        return ours.exit_code
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
