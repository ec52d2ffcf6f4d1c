"""What can be done with the run on the screen: steer it, apply a remedy, look elsewhere.

Base of the training screen, which shows the run. Everything asked of its worker goes into the run
directory by `Steering`; what can be done with any run is `RunDeeds`'.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from ppo_tui.runs.diagnosis import Finding
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import Observed

from .dialogs import Ask
from .findings import FindingsScreen
from .run_deeds import RunDeeds
from .steering import Steering, number_above_zero
from .story import RunStory

STEERED = ("pause", "go_on", "checkpoint", "stop", "kl_coef", "learning_rate")
"""Actions that need a worker."""

RESTING = (Phase.PAUSED, Phase.AWAITING_RATINGS)
"""States in which one key goes on, and pauses in all others."""

_DOTTED = {"kl_coef": "ppo.kl_coef", "lr": "optim.lr"}


class RunActions(RunDeeds):
    """A screen about one run.

    Attributes:
        run_directory: The run.
        story: What its journal tells.
        steering: What its worker was asked.
        seen: How it is doing; None before the first look.
        replayed: It is played again, so that nothing can be asked of it.
        dirty: Something is to be drawn with the next beat.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", id="training.pause",
                tooltip="Let the run wait after this step; its memory stays in use"),
        Binding("p", "go_on", "Continue", id="training.continue",
                tooltip="End the pause; a run that waits for ratings goes on with what it has"),
        Binding("c", "checkpoint", "Save", id="training.checkpoint",
                tooltip="Save a checkpoint after this step, and train on"),
        Binding("s", "stop", "Stop", id="training.stop",
                tooltip="End the run: save and stop, or stop now"),
        Binding("u", "resume", "Resume", id="training.resume",
                tooltip="Go on from the last checkpoint"),
        Binding("k", "kl_coef", "KL coef.", id="training.kl_coef",
                tooltip="Change the weight of the KL penalty while the run goes on"),
        Binding("l", "learning_rate", "LR", id="training.learning_rate",
                tooltip="Change the learning rate while the run goes on"),
        Binding("a", "apply", "Apply", id="training.apply",
                tooltip="Apply the change that the health line proposes"),
        Binding("h", "findings", "Health", id="training.findings",
                tooltip="All that is wrong, with causes and remedies"),
        Binding("n", "copy_settings", "New", id="training.copy", show=False,
                tooltip="Start a new run from this one's settings"),
        Binding("r", "rate", "Rate", id="training.rate",
                tooltip="Say what you think of what the model writes"),
        Binding("t", "playground", "Try", id="training.playground",
                tooltip="Talk to the tuned model and to its base"),
        Binding("e", "export", "Export", id="training.export", tooltip="Take the adapter home"),
        Binding("o", "log", "Log", id="training.log", tooltip="What the worker printed"),
    ]  # fmt: skip

    def __init__(self, run: RunDirectory, story: RunStory) -> None:
        super().__init__()
        self.run_directory = run
        self.story = story
        self.steering = Steering(self, run)
        self.seen: Observed | None = None
        self.replayed = False
        self.dirty = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what cannot be done now."""
        alive = self.seen is not None and self.seen.alive
        if action in (*STEERED, "resume", "rate") and self.replayed:
            return False
        if action in ("pause", "go_on") and (action == "go_on") != self.rests:
            return False
        if action in STEERED:
            return True if alive else None
        if action == "resume":
            ended = self.seen is not None and not alive and self.seen.phase is not Phase.FINISHED
            return True if ended else None
        if action == "apply":
            return True if any(finding.change for finding in self.story.findings()) else None
        return True

    @property
    def rests(self) -> bool:
        """Whether the run waits for somebody, and can be told to go on."""
        return self.seen is not None and self.seen.alive and self.seen.phase in RESTING

    def action_pause(self) -> None:
        """Pause after this step."""
        self._ask("pause")

    def action_go_on(self) -> None:
        """End the pause, or the waiting for ratings."""
        self._ask("continue")

    def action_checkpoint(self) -> None:
        """Save a checkpoint and train on."""
        self._ask("checkpoint")

    def _ask(self, kind: str) -> None:
        self.steering.ask(kind)
        self.dirty = True

    def action_stop(self) -> None:
        """Ask which kind of end is meant."""
        self.ask_to_stop(self.run_directory, self._stop)

    def _stop(self, _: RunDirectory, mode: str) -> None:
        self.steering.stop(mode)
        self.dirty = True

    def action_kl_coef(self) -> None:
        """Change the weight of the KL penalty."""
        self._ask_number("KL coefficient (weight of the KL penalty)", "kl_coef", "kl/coef")

    def action_learning_rate(self) -> None:
        """Change the learning rate."""
        self._ask_number("Learning rate; the schedule goes on from it", "lr", "optim/lr")

    def _ask_number(self, question: str, key: str, metric: str) -> None:
        now = self.story.history.last().get(metric)
        value = "" if now is None or now != now else f"{now:.6g}"

        def take(text: str | None) -> None:
            if text and text.strip():
                self.steering.set(key, float(text))
                self.dirty = True

        def check(text: str) -> str:
            return number_above_zero(text, zero=key == "kl_coef")

        self.app.push_screen(Ask(question, value, check=check), take)

    def action_findings(self) -> None:
        """All that is wrong."""
        self.app.push_screen(FindingsScreen(self.story.findings()), self._apply)

    def action_apply(self) -> None:
        """Apply the first change that is proposed."""
        finding = next((f for f in self.story.findings() if f.change), None)
        self._apply(finding)

    def _apply(self, finding: Finding | None) -> None:
        if finding is None or finding.change is None:
            return
        change = finding.change
        alive = self.seen is not None and self.seen.alive
        if change.live and alive and isinstance(change.value, int | float):
            self.steering.set(change.key, float(change.value))
            self.dirty = True
            return
        dotted = _DOTTED.get(change.key, change.key)
        note = f"{finding.title}: {finding.remedy}"
        self.copy_settings(self.run_directory, {dotted: change.value}, note)

    # ---- other screens

    def action_copy_settings(self) -> None:
        """A new run from this one's settings."""
        self.copy_settings(self.run_directory)

    def action_resume(self) -> None:
        """Go on from the last checkpoint."""
        self.resume(self.run_directory)

    def action_rate(self) -> None:
        """Rate what the model writes."""
        self.app.open_rating(self.run_directory)

    def action_playground(self) -> None:
        """Talk to the tuned model."""
        self.app.open_playground(self.run_directory)

    def action_export(self) -> None:
        """Take the adapter home."""
        self.app.open_export(self.run_directory)

    def action_log(self) -> None:
        """What the worker printed."""
        self.app.open_log(self.run_directory)
