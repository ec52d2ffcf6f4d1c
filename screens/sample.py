"""One sample, opened: all of it, and what the model wrote to the same prompt at other steps.

A viewer of `samples.jsonl`; the search for the prompt runs in a thread and looks at a bounded part
of the file.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.worker import get_current_worker

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.records import Sample
from ppo_tui.runs.samples import SampleBook
from ppo_tui.text.plain import shortened

from .base import PpoScreen
from .literal import literal
from .widgets.sample_list import SampleList
from .widgets.sample_view import SampleView
from .widgets.token_text import TokenText

MOST_OVER_TIME = 200


class SampleScreen(PpoScreen[None]):
    """A sample and its prompt over time.

    Args:
        run: The run that wrote it.
        sample: What is opened first.
    """

    CSS_PATH = "sample.tcss"
    TITLE_WORDS = "Sample"
    AUTO_FOCUS = "TokenText"
    HELP = """
One sample: its score by term, and its text token by token where it was recorded so. Beside it what
the model wrote to the same prompt over the run; `,` and `.` go to the earlier and the later of
them, `tab` goes to their list.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("comma", "over_time(1)", "Earlier", id="sample.earlier", key_display=",",
                tooltip="What the model wrote to this prompt before"),
        Binding("full_stop", "over_time(-1)", "Later", id="sample.later", key_display=".",
                tooltip="What the model wrote to this prompt later"),
    ]  # fmt: skip

    class PromptRead(Message):
        """The samples of the prompt over time, or why they cannot be read."""

        def __init__(self, samples: list[Sample], problem: str = "") -> None:
            super().__init__()
            self.samples = samples
            self.problem = problem

    def __init__(self, run: RunDirectory, sample: Sample) -> None:
        super().__init__()
        self.run_directory = run
        self.sample = sample

    def compose_body(self) -> ComposeResult:
        """The sample; its prompt over time."""
        with Container(id="sample-body"):
            yield SampleView(id="sample-view")
            yield SampleList("This prompt over time", id="sample-over-time")

    def on_mount(self) -> None:
        """Show it, and look for the others."""
        self._show(self.sample)
        self.query_one(SampleList).show([self.sample], note="looking for others …")
        self._read_prompt()

    @work(thread=True, exclusive=True, group="prompt", exit_on_error=False)
    def _read_prompt(self) -> None:
        book = SampleBook(self.run_directory.samples_path)
        try:
            found = self.PromptRead(book.of_prompt(self.sample.prompt, MOST_OVER_TIME))
        except OSError as error:
            found = self.PromptRead([], error.strerror or type(error).__name__)
        if not get_current_worker().is_cancelled:
            self.post_message(found)

    def on_sample_screen_prompt_read(self, event: PromptRead) -> None:
        """Show what was found; the opened sample is always among it."""
        samples = event.samples
        if all(sample.id != self.sample.id for sample in samples):
            samples = sorted([*samples, self.sample], key=lambda sample: sample.step)
        note = f"cannot be read: {event.problem}" if event.problem else ""
        if len(event.samples) >= MOST_OVER_TIME:
            note = "evenly chosen"
        self.query_one(SampleList).show(samples, note=note)
        self.refresh_bindings()

    @on(SampleList.Chosen)
    def _choose(self, event: SampleList.Chosen) -> None:
        event.stop()
        self._show(event.sample)
        self.query_one(TokenText).focus()

    def action_over_time(self, by: int) -> None:
        """Show the next or the last sample of the prompt, in the order of the list."""
        listed = self.query_one(SampleList)
        listed.move_to(self._place() + by)
        if listed.highlighted is not None:
            self._show(listed.highlighted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out the way beyond the first and the last."""
        if action == "over_time":
            by, count = parameters[0], len(self.query_one(SampleList).samples)
            assert isinstance(by, int)
            return True if 0 <= self._place() + by < count else None
        return super().check_action(action, parameters)

    def _place(self) -> int:
        ids = [sample.id for sample in self.query_one(SampleList).samples]
        return ids.index(self.sample.id) if self.sample.id in ids else 0

    def _show(self, sample: Sample) -> None:
        self.sample = sample
        self.query_one(SampleView).show(sample)
        name, prompt = shortened(self.run_directory.name, 30), shortened(sample.prompt.strip(), 60)
        self.status.show(
            Content.assemble(
                literal(f"Sample {sample.id}", "bold"), literal(f" of {name} · {prompt}")
            )
        )
        self.refresh_bindings()
