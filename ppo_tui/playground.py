"""``python -m ppo_tui.playground RUN_DIR [--checkpoint N]``: a run's model, to be talked to.

Loads a copy of the base model and a checkpoint's adapter, and answers prompts as the base and as
the tuned model, token by token; `ppo_tui.conversation` says how it is spoken to. It reads the run
and writes nothing, takes no lock, and the run may go on training beside it.

It ends when its stdin does, so that it never outlives whoever asked, however that one ended.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ppo_tui.conversation import (
    Ask,
    Cancel,
    Done,
    Failure,
    Piece,
    Quit,
    Ready,
    Reply,
    Status,
    Who,
    encode,
    new_seed,
    read_request,
)
from ppo_tui.errors import (
    CheckpointError,
    ConfigError,
    ExitCode,
    ModelError,
    OutOfMemory,
    PpoTuiError,
)
from ppo_tui.libraries import prepare_libraries
from ppo_tui.out_of_memory import is_out_of_memory
from ppo_tui.runs.checkpoints import Checkpoint, good_checkpoints
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.spoken import end, take_over_stdout
from ppo_tui.text.figures import size

if TYPE_CHECKING:
    import torch

    from ppo_tui.config.schema import RunConfig
    from ppo_tui.policy.roles import Roles
    from ppo_tui.policy.streaming import Response

log = logging.getLogger("ppo_tui.playground")

Say = Callable[[Reply], None]

TURN_TOKENS = 4
"""Tokens that base and tuned model write in turns: switching the adapters has its price."""

_USAGE = "usage: python -m ppo_tui.playground RUN_DIR [--checkpoint N]"


class Requests:
    """What is asked on stdin, read in a thread of its own so that a cancel comes through.

    When stdin ends, or by a quit, so does the process, in whatever it is doing.

    Args:
        stdin: File descriptor.
        say: Told of lines that are no requests.
    """

    def __init__(self, stdin: int, say: Say) -> None:
        self._asked: queue.Queue[Ask] = queue.Queue()
        self._cancelled: set[str] = set()
        self._say = say
        threading.Thread(target=self._read, args=(stdin,), daemon=True, name="requests").start()

    def take(self) -> Ask:
        """The next question; waits for it."""
        return self._asked.get()

    def is_cancelled(self, ask: Ask) -> bool:
        """Whether the question is taken back."""
        return ask.id in self._cancelled

    def _read(self, stdin: int) -> None:
        with os.fdopen(stdin, "rb") as lines:
            for line in lines:
                try:
                    request = read_request(line)
                except ValueError as error:
                    self._say(Failure("playground.request", f"A request cannot be read: {error}."))
                    continue
                match request:
                    case Ask():
                        self._asked.put(request)
                    case Cancel():
                        self._cancelled.add(request.id)
                    case Quit():
                        break
        end(ExitCode.DONE)


class Playground:
    """A loaded model that answers.

    Args:
        run: The run.
        step: The checkpoint that is meant; the newest whole one if None.
        say: Where the replies go.

    Raises:
        PpoTuiError: There is no checkpoint, the model cannot be loaded, or it does not fit.
    """

    def __init__(self, run: RunDirectory, step: int | None, say: Say) -> None:
        self._say = say
        say(Status("Looking for a checkpoint."))
        next(good_checkpoints(run, step))  # before the minutes that the model may take
        self._config = _config(run)
        say(Status("Loading the libraries."))
        from ppo_tui.policy.devices import choose_device
        from ppo_tui.policy.loading import load_base
        from ppo_tui.policy.roles import Roles

        device = choose_device(self._config.device)
        _check_room(self._config, device)
        what = f"Loading a copy of {_named(self._config)} onto {device.type}"
        say(Status(f"{what}, beside whatever else runs there."))
        base = load_base(self._config.model, device)
        self._roles: Roles = Roles(
            base, self._config.adapter, temperature=self._config.rollout.temperature
        )
        self._checkpoint = _load_adapter(self._roles, run, step)

    def ready(self) -> Ready:
        """What is loaded."""
        rollout = self._config.rollout
        return Ready(
            model=self._config.model.name,
            device=self._roles.base.device.type,
            step=self._checkpoint.step,
            temperature=rollout.temperature,
            max_tokens=rollout.response_tokens,
        )

    def answer(self, ask: Ask, is_cancelled: Callable[[], bool]) -> None:
        """Answer a question, piece by piece.

        Raises:
            PpoTuiError: The prompt is too long, or the memory too small.
        """
        seed = new_seed() if ask.seed is None else ask.seed
        prompt = self._prompt(ask)
        whom: tuple[Who, ...] = ("base", "tuned") if ask.who == "both" else (ask.who,)
        writing = {who: self._response(ask, prompt, who, seed) for who in whom}
        while writing:
            for who, response in list(writing.items()):
                for _ in range(TURN_TOKENS):
                    cancelled = is_cancelled()
                    if not (cancelled or response.ended) and (piece := response.write()):
                        self._say(Piece(ask.id, who, piece))
                    if cancelled or response.ended:
                        self._say(_done(ask, who, response, seed, cancelled=not response.ended))
                        del writing[who]
                        break

    def _response(self, ask: Ask, prompt: tuple[int, ...], who: Who, seed: int) -> Response:
        import torch

        from ppo_tui.policy.streaming import Response

        rollout = self._config.rollout
        return Response(
            self._roles,
            prompt,
            ask.max_tokens or rollout.response_tokens,
            # One each from one seed: both models meet the same random numbers.
            torch.Generator().manual_seed(seed),
            reference=who == "base",
            temperature=ask.temperature,
            top_k=rollout.top_k,
            top_p=rollout.top_p,
        )

    def _prompt(self, ask: Ask) -> tuple[int, ...]:
        """The prompt as token ids, made as those of the training are."""
        from ppo_tui.data.dataset import PromptDataset
        from ppo_tui.data.prompts import Prompt

        data, context = self._config.data, self._roles.base.context_length
        most = max(ask.max_tokens or 1, self._config.rollout.response_tokens)
        if context is not None and most >= context:
            raise ConfigError(
                f"An answer of up to {most} tokens leaves no room for a prompt in the model's "
                f"context of {context} tokens; ask for fewer.",
                code="data.no_room",
            )
        if data.overlong == "drop":
            # The training leaves such a prompt out; a person wants to know why.
            data = data.model_copy(update={"overlong": "error"})
        dataset = PromptDataset.from_prompts(
            [Prompt(1, ask.prompt)],
            data,
            self._roles.base.tokenizer,
            response_tokens=most,
            context_length=context,
            eos_token_ids=self._roles.base.vocabulary.eos_ids,
        )
        return dataset.train[0].ids


def _done(ask: Ask, who: Who, response: Response, seed: int, *, cancelled: bool) -> Done:
    return Done(ask.id, who, response.text, len(response.ids), response.finished, cancelled, seed)


def _config(run: RunDirectory) -> RunConfig:
    from ppo_tui.config.presets import as_mapping
    from ppo_tui.config.resolve import validate
    from ppo_tui.config.yaml_io import read_yaml

    source = str(run.config_path)
    return validate(as_mapping(read_yaml(run.config_path), source), source)


def _check_room(config: RunConfig, device: torch.device) -> None:
    """Refuse what cannot fit: a system without memory kills processes, the run's among them.

    Raises:
        OutOfMemory: The weights alone are more than what is free.
    """
    from ppo_tui.plan import plan_memory, read_architecture

    try:
        architecture = read_architecture(config.model)
    except ModelError:
        return  # the plan knows fewer architectures than transformers does; the loading will tell
    plan = plan_memory(architecture, config, None, "cuda" if device.type == "cuda" else "cpu")
    needed = sum(part.bytes for part in plan.parts if part.name == "weights")
    free = _free_memory(device)
    if needed > free:
        raise OutOfMemory(
            f"A copy of {_named(config)} takes {size(needed)}, and {device.type} has "
            f"{size(free)} left beside what else runs there.",
            hint="Wait until the run has ended, or close what else takes memory.",
            code="memory.playground",
        )


def _named(config: RunConfig) -> str:
    """The base model as it is called in a sentence."""
    from ppo_tui.config.schema import BUNDLED

    return "the bundled model" if config.model.name == BUNDLED else config.model.name


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _load_adapter(roles: Roles, run: RunDirectory, step: int | None) -> Checkpoint:
    """Put the newest whole adapter into the policy."""
    from safetensors import SafetensorError

    problem: Exception | None = None
    # Twice: while one is read, the run may replace it by a newer one.
    for _ in range(2):
        for checkpoint in good_checkpoints(run, step):
            try:
                roles.load_adapter("policy", checkpoint.adapter)
            except (OSError, SafetensorError) as error:
                problem = error
                continue
            return checkpoint
    raise CheckpointError(
        f"No checkpoint of {run.name} could be read: {problem}.", code="checkpoint.unreadable"
    )


def _as_ours(error: Exception) -> PpoTuiError:
    if isinstance(error, PpoTuiError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(
            "The memory is too small for a copy of the model beside what else runs there.",
            hint="Wait until the run has ended, or ask for fewer tokens.",
            code="memory.playground",
        )
    text = " ".join(str(error).split())[:300]
    return PpoTuiError(
        f"Something unforeseen happened: {type(error).__name__}{': ' if text else ''}{text}",
        hint="Please report it.",
        code="internal",
    )


def _arguments(arguments: list[str]) -> tuple[Path, int | None] | None:
    match arguments:
        case [path]:
            return Path(path), None
        case [path, "--checkpoint", step] if step.isdecimal():
            return Path(path), int(step)
    return None


def main(arguments: list[str] | None = None) -> int:
    """Load, then answer until stdin ends; returns an exit code if the loading fails."""
    read = _arguments(sys.argv[1:] if arguments is None else arguments)
    if read is None:
        print(_USAGE, file=sys.stderr)  # noqa: T201
        return ExitCode.USAGE
    say = take_over_stdout(encode)
    prepare_libraries(sys.stderr)
    requests = Requests(os.dup(0), say)
    try:
        playground = Playground(RunDirectory.open(read[0]), read[1], say)
    # Whoever asked sees the sentence; the traceback is among its stderr.
    except Exception as error:
        ours = _as_ours(error)
        log.error("%s: %s", ours.code, ours.message, exc_info=error.__cause__ or error)
        say(Failure.of(ours, fatal=True))
        return ours.exit_code
    say(playground.ready())
    while True:
        ask = requests.take()
        try:
            playground.answer(ask, partial(requests.is_cancelled, ask))
        # The process goes on after a question that it cannot answer; whoever asked sees why.
        except Exception as error:
            log.error("The question %s could not be answered.", ask.id, exc_info=error)
            say(Failure.of(_as_ours(error), ask.id))


if __name__ == "__main__":
    sys.exit(main())
