"""Talk to a run's tuned model and to its base, side by side, as they write.

The model lives in a process of its own, which is started with the screen and ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, get_args

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from ppo_tui.conversation import (
    Ask,
    Cancel,
    Done,
    Failure,
    Piece,
    Ready,
    Reply,
    Status,
    Who,
    Whom,
    new_seed,
    start_command,
)
from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.text.diff import Span, word_diff
from ppo_tui.text.plain import shortened

from .base import PpoScreen
from .dialogs import Choose
from .literal import literal
from .model_process import ModelProcess
from .widgets.exchange import Exchange, can_be_marked
from .widgets.prompt_input import PromptInput
from .widgets.sampling_fields import SamplingFields

MOST_EXCHANGES = 50
"""Older ones are forgotten."""

PROMPTS_OFFERED = 40
_LONGEST_WORDS = 100
_LONGEST_NAME = 24

_ANSWERERS: dict[Whom, str] = {
    "both": "base and tuned",
    "base": "base alone",
    "tuned": "tuned alone",
}


class PlaygroundScreen(PpoScreen[None]):
    """Prompts typed, answers streamed.

    Args:
        run: The run; it may go on training meanwhile.
        start: Makes the command of the process that holds the model.
    """

    CSS_PATH = "playground.tcss"
    TITLE_WORDS = "Playground"
    AUTO_FOCUS = "#prompt"
    HELP = """
    Talk to the tuned model and to its base. Both answer the same prompt with the same random
    numbers, so that what differs is what the training has changed; words that the other answer
    has not are **underlined**.

    A copy of the model is loaded beside the run, which may go on training. The tuned model is that
    of the newest checkpoint; `F5` looks for a newer one.

    An empty temperature or length is the run's own; an empty seed is another one for each prompt.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "f2",
            "prompts",
            "Prompts",
            id="playground.prompts",
            tooltip="Take one of the run's own prompts",
        ),
        Binding(
            "f3",
            "who",
            "Who",
            id="playground.who",
            tooltip="Let both answer, or the base or the tuned model alone",
        ),
        Binding(
            "f4",
            "keep_seed",
            "Keep seed",
            id="playground.seed",
            tooltip="Use the last seed for the next prompts too, or a new one each time",
        ),
        Binding(
            "f5",
            "reload",
            "Reload",
            id="playground.reload",
            tooltip="Load the model again, with the newest checkpoint",
        ),
        Binding(
            "f6",
            "copy",
            "Copy",
            id="playground.copy",
            tooltip="Copy an answer of the question in focus, or of the newest",
        ),
        Binding(
            "f8",
            "stop",
            "Stop",
            id="playground.stop",
            tooltip="Stop the answers that are being written",
        ),
    ]

    class Prompts(Message):
        """The run's own prompts, or why there are none."""

        def __init__(self, prompts: Sequence[str], problem: PpoTuiError | None = None) -> None:
            super().__init__()
            self.prompts = prompts
            self.problem = problem

    class Marked(Message):
        """The words of an exchange that differ."""

        def __init__(self, exchange: Exchange, spans: dict[Who, Sequence[Span]]) -> None:
            super().__init__()
            self.exchange = exchange
            self.spans = spans

    def __init__(
        self,
        run: RunDirectory,
        start: Callable[[RunDirectory], list[str]] = start_command,
    ) -> None:
        super().__init__()
        self._run = run
        self._start = start
        self._process: ModelProcess | None = None
        self._ready: Ready | None = None
        self._doing = "Starting."
        self._broken: Failure | None = None
        self._who: Whom = "both"
        self._count = 0
        self._exchanges: dict[str, Exchange] = {}

    def compose_body(self) -> ComposeResult:
        """What was said, the settings, the prompt."""
        yield VerticalScroll(id="history")
        yield Static(id="note", markup=False)
        yield SamplingFields(id="sampling")
        with Horizontal(id="asking"):
            yield Static("› ", id="sign", markup=False)
            yield PromptInput(placeholder="a prompt; enter: ask   F2: the run's own", id="prompt")

    def on_mount(self) -> None:
        """Start the process; show what comes at the app's pace."""
        self.query_one("#history", VerticalScroll).anchor()
        self._load()
        self.set_interval(1 / self.app.settings.refresh_hz, self._paint)

    async def on_unmount(self) -> None:
        """End the process with the screen."""
        if self._process is not None:
            await self._process.end()

    # ---- the process

    def _load(self) -> None:
        self._ready, self._broken, self._doing = None, None, "Starting."
        self._process = ModelProcess(self._start(self._run), self._hear)
        self._tell()
        self._converse(self._process)

    @work(exclusive=True, group="playground", exit_on_error=False)
    async def _converse(self, process: ModelProcess) -> None:
        await process.run()

    def _hear(self, reply: Reply) -> None:
        match reply:
            case Status(message):
                self._doing = message
                self._tell()
            case Ready():
                self._ready = reply
                self.query_one(SamplingFields).show_defaults(reply)
                self._tell()
            case Piece(id_, who, text):
                if (exchange := self._exchanges.get(id_)) is not None:
                    exchange.add(who, text)
            case Done():
                if (exchange := self._exchanges.get(reply.id)) is not None:
                    exchange.end(reply)
            case Failure(fatal=True):
                self._broken = reply
                for exchange in self._exchanges.values():
                    exchange.fail(Failure(reply.code, "It was not answered."))
                self._tell()
            case Failure():
                exchange = self._exchanges.get(reply.id or "")
                if exchange is not None:
                    exchange.fail(reply)
                else:
                    self.app.tell(f"{reply.message} {reply.hint}", severity="error")

    def _paint(self) -> None:
        for exchange in self._exchanges.values():
            exchange.paint()

    # ---- asking

    @on(Input.Submitted, "#prompt")
    async def _asked(self) -> None:
        line = self.query_one(PromptInput)
        prompt = line.prompt
        if not prompt.strip() or self._process is None:
            return
        if self._broken is not None:
            self.app.tell("There is no model to answer; F5 loads it again.", severity="warning")
            return
        fields = self.query_one(SamplingFields)
        if problem := fields.problem():
            self.app.tell(problem, severity="warning")
            return
        self._count += 1
        seed = new_seed() if fields.seed is None else fields.seed
        ask = Ask(str(self._count), prompt, self._who, fields.temperature, fields.tokens, seed)
        line.remember(prompt)
        await self._add(ask)
        self._process.say(ask)

    async def _add(self, ask: Ask) -> None:
        step = f", step {self._ready.step}" if self._ready is not None else ""
        exchange = Exchange(ask, {"base": "base", "tuned": f"tuned{step}"})
        self._exchanges[ask.id] = exchange
        history = self.query_one("#history", VerticalScroll)
        await history.mount(exchange)
        history.anchor()
        self._tell()
        if len(self._exchanges) > MOST_EXCHANGES:
            oldest = next(iter(self._exchanges))
            await self._exchanges.pop(oldest).remove()

    @on(Exchange.Complete)
    def _complete(self, event: Exchange.Complete) -> None:
        if can_be_marked(event.exchange):
            self._mark(event.exchange)

    @work(thread=True, group="marking", exit_on_error=False)
    def _mark(self, exchange: Exchange) -> None:
        base, tuned = word_diff(exchange.answers["base"], exchange.answers["tuned"])
        if not get_current_worker().is_cancelled:
            self.post_message(self.Marked(exchange, {"base": base, "tuned": tuned}))

    @on(Marked)
    def _marked(self, event: Marked) -> None:
        if event.exchange.is_attached:
            event.exchange.mark(event.spans)

    # ---- keys

    def action_stop(self) -> None:
        """Stop what is being written."""
        writing = [exchange for exchange in self._exchanges.values() if not exchange.over]
        for exchange in writing:
            if self._process is not None:
                self._process.say(Cancel(exchange.ask.id))
        if not writing:
            self.app.tell("Nothing is being written.")

    def action_who(self) -> None:
        """Let another answer."""
        known = get_args(Whom)
        self._who = known[(known.index(self._who) + 1) % len(known)]
        self._tell()

    def action_keep_seed(self) -> None:
        """Keep the last seed, or take new ones again."""
        last = next(reversed(self._exchanges.values()), None)
        self.query_one(SamplingFields).keep(None if last is None else last.seed)

    def action_reload(self) -> None:
        """Load the model again, with the newest checkpoint."""
        for exchange in self._exchanges.values():
            exchange.fail(Failure("playground.reload", "The model was loaded again."))
        self._load()

    def action_prompts(self) -> None:
        """Offer the run's own prompts."""
        self._read_prompts()

    @work(thread=True, exclusive=True, group="prompts", exit_on_error=False)
    def _read_prompts(self) -> None:
        from ppo_tui.data.prompts import load_prompts
        from ppo_tui.prepare.resume import stored_config

        try:
            prompts = load_prompts(stored_config(self._run).data)
        except PpoTuiError as error:
            self.post_message(self.Prompts([], error))
            return
        if not get_current_worker().is_cancelled:
            self.post_message(self.Prompts([p.text for p in prompts[:PROMPTS_OFFERED]]))

    @on(Prompts)
    def _offer(self, event: Prompts) -> None:
        if event.problem is not None:
            self.app.show_error(event.problem)
            return

        def take(key: str | None) -> None:
            if key is not None:
                self.query_one(PromptInput).put(event.prompts[int(key)])
            self.query_one(PromptInput).focus()

        offered = [(str(i), shortened(p, _LONGEST_WORDS)) for i, p in enumerate(event.prompts)]
        question = f"The first {len(offered)} prompts of the run" if len(offered) > 1 else "Prompt"
        self.app.push_screen(Choose(question, offered), take)

    def action_copy(self) -> None:
        """Copy an answer."""
        focused = self.focused
        newest = next(reversed(self._exchanges.values()), None)
        exchange = focused if isinstance(focused, Exchange) else newest
        if exchange is None or not any(exchange.answers.values()):
            self.app.tell("There is no answer yet.")
            return
        texts: dict[str, str] = {who: text.strip() for who, text in exchange.answers.items()}
        said = [exchange.ask.prompt, *(f"{who}: {text}" for who, text in texts.items())]
        texts["all"] = "\n\n".join(said)

        def copy(key: str | None) -> None:
            if key is not None:
                self.app.copy_to_clipboard(texts[key])
                self.app.tell("Copied, where the terminal allows it.")

        words = {"base": "the base model's answer", "tuned": "the tuned model's answer"}
        answers = [(key, words.get(key, "the prompt and all answers")) for key in texts]
        self.app.push_screen(Choose("Copy what?", answers, chosen="tuned"), copy)

    # ---- words

    def _tell(self) -> None:
        """The first line, and the note where there is nothing to be seen yet."""
        name = literal(shortened(self._run.name, _LONGEST_NAME), "bold")
        # What has no room is cut off at the end, so what can change stands first.
        parts = [Content.assemble("Playground ", name), Content(f"asks {_ANSWERERS[self._who]}")]
        if self._broken is not None:
            parts.append(Content.styled("✗ no model; F5 loads it", "bold"))
        elif self._ready is None:
            parts.append(Content("loading"))
        else:
            ready = self._ready
            parts.append(Content(f"tuned: step {ready.step}"))
            parts.append(literal(f"{ready.model} on {ready.device}"))
        self.status.show(Content("  ").join(parts))
        note = self.query_one("#note", Static)
        note.update(self._note())
        note.display = self._ready is None or not self._exchanges
        if self._broken is not None:
            note.display = True

    def _note(self) -> Content:
        if self._broken is not None:
            return Content.assemble(
                ("✗ ", "bold"),
                literal(self._broken.message, "bold", lines=True),
                literal(f"\n{self._broken.hint}" if self._broken.hint else "", lines=True),
            )
        if self._ready is None:
            return Content.assemble(
                literal(self._doing, "bold"),
                "\nA copy of the model is loaded into a process of its own, beside the run, which "
                "may go on training. You can ask already: it answers once it is ready.",
            )
        return Content("Ask something: what the training has changed is underlined.")
