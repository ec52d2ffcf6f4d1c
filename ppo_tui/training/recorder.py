"""Writes what the loop yields into the run directory's journals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ppo_tui.errors import CheckpointError, RunError
from ppo_tui.evaluation.compare import Evaluation
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.records import (
    Event,
    Sample,
    TokenRecord,
    answers_event,
    eval_event,
    health_event,
    step_event,
)
from ppo_tui.taste.reading import encode
from ppo_tui.training.answers import WatchedAnswer, Who
from ppo_tui.training.batches import HealthNote, SampleTrace, StepRecord
from ppo_tui.training.candidates import Written


class Recorder:
    """The journals of a run, open for writing: events, samples, and the pool to be rated from.

    Raises:
        StorageError: They cannot be written.
    """

    def __init__(self, run: RunDirectory) -> None:
        with contextlib.ExitStack() as opened:
            self._events = opened.enter_context(JournalWriter(run.events_path))
            self._samples = opened.enter_context(JournalWriter(run.samples_path))
            self._pool = opened.enter_context(JournalWriter(run.pool_path))
            opened.pop_all()
        self._unwell: set[str] = set()
        self._base_answered = False

    @property
    def base_answered(self) -> bool:
        """Whether the journal has the base's answers to the watched prompts."""
        return self._base_answered

    @property
    def written(self) -> int:
        """Bytes that the journals hold."""
        return self._events.offset + self._samples.offset + self._pool.offset

    def event(self, event: Event) -> None:
        """Write one event."""
        self._events.append(event.to_json())

    def step(self, record: StepRecord, extra_metrics: Mapping[str, float]) -> None:
        """Write a step: its samples, its metrics, and what is newly wrong."""
        for index, sample in enumerate(record.samples):
            self._samples.append(_sample(record.step, index, sample).to_json())
            if sample.reading is not None:
                self._pool.append(_candidate(record.step, index, sample).to_json())
        self.event(step_event(record.step, {**record.metrics, **extra_metrics}))
        self.health(record.health, record.step)

    def candidates(self, step: int, written: Sequence[tuple[str, Written]]) -> None:
        """Write texts for people to choose from, by the policy as it is after a step."""
        for name, text in written:
            candidate = Candidate(
                id=name,
                step=step,
                prompt=text.prompt,
                response=text.response,
                length=text.length,
                finished=text.finished,
                reading=encode(text.reading),
            )
            self._pool.append(candidate.to_json())

    def happened(self, notes: Iterable[HealthNote], step: int | None = None) -> None:
        """Write all of these notes."""
        for note in notes:
            event = health_event(step, note.code, note.message, hint=note.hint, level=note.level)
            self.event(event)

    def health(self, notes: Iterable[HealthNote], step: int | None = None) -> None:
        """Write what happened, and what lasts if the last call did not have it already."""
        notes = list(notes)
        self.happened((note for note in notes if note.happened), step)
        notes = [note for note in notes if not note.happened]
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
        for journal in (self._events, self._samples, self._pool):
            journal.sync()
        return {
            "events_offset": self._events.offset,
            "samples_offset": self._samples.offset,
            "pool_offset": self._pool.offset,
            "unwell": sorted(self._unwell),
            "base_answered": self._base_answered,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the journals back to where a checkpoint was.

        Raises:
            RunError: They have lost lines since then.
            CheckpointError: The state is none of a recorder's (`checkpoint.damaged`).
        """
        try:
            journals = {
                self._events: int(state["events_offset"]),
                self._samples: int(state["samples_offset"]),
                self._pool: int(state["pool_offset"]),
            }
            unwell = set(state["unwell"])
            # A run that was begun by an older version has none, and gets them when it goes on.
            base_answered = bool(state["base_answered"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                "The checkpoint is damaged: it does not say where the journals were.",
                code="checkpoint.damaged",
            ) from error
        if any(offset > journal.offset for journal, offset in journals.items()):
            # Before any is cut: an older checkpoint may still fit all.
            raise RunError(
                "The journals have lost lines since the checkpoint was made.",
                hint="Put events.jsonl, samples.jsonl and pool.jsonl back as they were.",
                code="run.journal",
            )
        for journal, offset in journals.items():
            journal.cut(offset)
        self._unwell = unwell
        self._base_answered = base_answered

    def restart(self) -> None:
        """Cut the journals back to nothing: the run begins again at its first step."""
        for journal in (self._events, self._samples, self._pool):
            journal.cut(0)
        self._unwell = set()
        self._base_answered = False

    def close(self) -> None:
        """Close the journals."""
        for journal in (self._events, self._samples, self._pool):
            journal.close()


def _candidate(step: int, index: int, trace: SampleTrace) -> Candidate:
    assert trace.reading is not None
    return Candidate(
        id=f"{step}-{index}",
        step=step - 1,  # the policy that wrote it had not taken this step
        prompt=trace.prompt,
        response=trace.response,
        length=trace.length,
        finished=trace.finished,
        reading=encode(trace.reading),
    )


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
