"""Writes what the loop yields into the run directory's journals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ppo_tui.errors import RunError
from ppo_tui.evaluation.compare import Evaluation
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.records import (
    Event,
    Sample,
    TokenRecord,
    answers_event,
    eval_event,
    health_event,
    step_event,
)
from ppo_tui.training.answers import WatchedAnswer, Who
from ppo_tui.training.batches import HealthNote, SampleTrace, StepRecord


class Recorder:
    """The two journals of a run, open for writing.

    Raises:
        StorageError: They cannot be written.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._events = JournalWriter(run.events_path)
        try:
            self._samples = JournalWriter(run.samples_path)
        except BaseException:
            self._events.close()
            raise
        self._unwell: set[str] = set()
        self._base_answered = False

    @property
    def base_answered(self) -> bool:
        """Whether the journal has the base's answers to the watched prompts."""
        return self._base_answered

    def event(self, event: Event) -> None:
        """Write one event."""
        self._events.append(event.to_json())

    def step(self, record: StepRecord, extra_metrics: Mapping[str, float]) -> None:
        """Write a step: its samples, its metrics, and what is newly wrong."""
        for index, sample in enumerate(record.samples):
            self._samples.append(_sample(record.step, index, sample).to_json())
        self.event(step_event(record.step, {**record.metrics, **extra_metrics}))
        self.health(record.health, record.step)

    def health(self, notes: Iterable[HealthNote], step: int | None = None) -> None:
        """Write the notes that the last call did not have already."""
        notes = list(notes)
        for note in notes:
            if note.code not in self._unwell:
                self.event(
                    health_event(step, note.code, note.message, hint=note.hint, level=note.level)
                )
        self._unwell = {note.code for note in notes}

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Write an evaluation with its pairs of answers."""
        pairs = [asdict(pair) for pair in evaluation.pairs]
        self.event(eval_event(step, evaluation.metrics, pairs=pairs))

    def answers(self, step: int, who: Who, answers: Iterable[WatchedAnswer]) -> None:
        """Write answers to the watched prompts, if there are any."""
        records = [asdict(answer) for answer in answers]
        if records:
            self.event(answers_event(step, who, records))
            self._base_answered |= who == "base"

    def state_dict(self) -> dict[str, Any]:
        """Byte offsets of the journals and what they hold, for a checkpoint; synced before."""
        self._events.sync()
        self._samples.sync()
        return {
            "events_offset": self._events.offset,
            "samples_offset": self._samples.offset,
            "unwell": sorted(self._unwell),
            "base_answered": self._base_answered,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the journals back to where a checkpoint was.

        Raises:
            RunError: They have lost lines since then.
        """
        events, samples = int(state["events_offset"]), int(state["samples_offset"])
        if events > self._events.offset or samples > self._samples.offset:
            # Before either is cut: an older checkpoint may still fit both.
            raise RunError(
                "The journals have lost lines since the checkpoint was made.",
                hint="Put events.jsonl and samples.jsonl back as they were.",
                code="run.journal",
            )
        self._events.cut(events)
        self._samples.cut(samples)
        self._unwell = set(state["unwell"])
        # A run that was begun by an older version has none, and gets them when it goes on.
        self._base_answered = bool(state.get("base_answered", False))

    def restart(self) -> None:
        """Cut the journals back to nothing: the run begins again at its first step."""
        self._events.cut(0)
        self._samples.cut(0)
        self._unwell = set()
        self._base_answered = False

    def close(self) -> None:
        """Close both journals."""
        self._events.close()
        self._samples.close()


def _sample(step: int, index: int, trace: SampleTrace) -> Sample:
    tokens = None
    if trace.tokens is not None:
        tokens = tuple(
            TokenRecord(t.text, t.logprob, t.ref_logprob, t.value, t.advantage)
            for t in trace.tokens
        )
    return Sample(
        id=f"{step}-{index}",
        step=step,
        prompt=trace.prompt,
        response=trace.response,
        score=trace.score,
        terms=trace.terms,
        kl=trace.kl,
        length=trace.length,
        finished=trace.finished,
        tokens=tokens,
    )
