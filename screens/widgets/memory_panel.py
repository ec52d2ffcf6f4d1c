"""The memory plan of a run that is being put together: finds out what it needs to know in a thread.

A model's shape and a device's memory are asked for once and kept: a change in the form then costs
a little arithmetic and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message
from textual.worker import get_current_worker

from .plan_bar import PlanBar

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.errors import PpoTuiError
    from ppo_tui.plan import Architecture
    from ppo_tui.plan.device import DeviceKind


class MemoryPanel(PlanBar):
    """Shows the plan of whatever configuration it is given."""

    class Measured(Message):
        """The model's shape and the device's memory of a configuration are known."""

        def __init__(
            self,
            config: RunConfig,
            shape: Architecture | PpoTuiError,
            device: tuple[DeviceKind, int | None],
        ) -> None:
            super().__init__()
            self.config = config
            self.shape = shape
            self.device = device

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._config: RunConfig | None = None
        self._measuring: tuple[str, str | None, str] | None = None
        self._shapes: dict[tuple[str, str | None], Architecture | PpoTuiError] = {}
        self._devices: dict[str, tuple[DeviceKind, int | None]] = {}

    def wait(self, words: str) -> None:
        """Say why there is no plan now."""
        self._config = None
        self.show_words(words)

    def plan_run(self, config: RunConfig) -> None:
        """Show the plan of a configuration, at once if all that it needs is known."""
        self._config = config
        shape = self._shapes.get((config.model.name, config.model.revision))
        device = self._devices.get(config.device)
        if shape is None or device is None:
            self.show_words("reading the model's shape …")
            wanted = (config.model.name, config.model.revision, config.device)
            if wanted != self._measuring:
                self._measuring = wanted
                self._measure(config)
            return
        from ppo_tui.errors import PpoTuiError
        from ppo_tui.plan import plan_memory

        if isinstance(shape, PpoTuiError):
            self.show_words(f"no plan: {shape.message}")
            return
        kind, budget = device
        self.show_plan(plan_memory(shape, config, budget, kind))

    @work(thread=True, exclusive=True, group="shape", exit_on_error=False)
    def _measure(self, config: RunConfig) -> None:
        from ppo_tui.errors import ModelError, PpoTuiError
        from ppo_tui.plan import detect_device, device_budget, read_architecture
        from ppo_tui.prepare.hub import keep_off_the_screen

        keep_off_the_screen()
        shape: Architecture | PpoTuiError
        try:
            shape = read_architecture(config.model)
        except PpoTuiError as error:
            shape = error
        except OSError as error:
            shape = ModelError(f"{config.model.name} cannot be read: {error.strerror}.")
        device = self._devices.get(config.device)
        if device is None:
            device = detect_device(config.device), device_budget(config.device)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Measured(config, shape, device))

    @on(Measured)
    def _measured(self, event: Measured) -> None:
        event.stop()
        model = event.config.model
        self._measuring = None
        self._shapes[model.name, model.revision] = event.shape
        self._devices[event.config.device] = event.device
        if self._config is not None:
            self.plan_run(self._config)

    def forget(self) -> None:
        """Ask anew for what could not be read; a model may have come in the meantime."""
        from ppo_tui.errors import PpoTuiError

        self._shapes = {
            key: shape for key, shape in self._shapes.items() if not isinstance(shape, PpoTuiError)
        }
