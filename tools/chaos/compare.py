"""A finished run against one that nobody disturbed, bit for bit.

What is left out, because it tells of the worker or of the clock and not of the training:

- `time` of every line, and of a step's metrics `time/*`, `throughput/*` and `memory/peak_gib`
- events of kind `state`, but for the last one, which says that the run has finished
- events of kind `log` that every worker writes at its start and end: that it loaded the model, how
  it carries out the run, after which step it resumed, and how much memory it held

Everything else of events.jsonl, samples.jsonl and pool.jsonl is compared line by line; of the
checkpoints every file byte by byte, but for `state.json` and its hash in the manifest: a journal's
offset moves with the digits of its times, so there the lines in front of the offset are compared
instead. The files of the run directory must be the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from ppo_tui.runs.checkpoints import MANIFEST, files_of, list_checkpoints
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state

JOURNALS = ("events", "samples", "pool")

_CLOCK = ("time/", "throughput/", "memory/peak_gib")
_OF_A_WORKER = ("Loaded ", "Responses are decoded ", "Resumed after step ", "At most ")

_SHOWN = 300


def differences(run: RunDirectory, reference: RunDirectory) -> list[str]:
    """In what a finished run differs from the reference, a sentence each."""
    found = [f"{name}: {words}" for name, words in _of_journals(run, reference)]
    found += _of_checkpoints(run, reference)
    there, wanted = _names(run), _names(reference)
    found += [f"{name} was left behind" for name in sorted(there - wanted)]
    found += [f"{name} is missing" for name in sorted(wanted - there)]
    state, other = read_state(run), read_state(reference)
    for name in ("state", "step", "total", "error", "message"):
        if getattr(state, name) != getattr(other, name):
            found.append(f"state.json: {name} is {getattr(state, name)}, {getattr(other, name)}")
    return found


def _of_journals(run: RunDirectory, reference: RunDirectory) -> Iterator[tuple[str, str]]:
    for name in JOURNALS:
        pairs = zip_longest(_lines(run, name), _lines(reference, name))
        for number, (line, other) in enumerate(pairs, 1):
            if line != other:
                yield name, f"record {number}: {_short(line)} instead of {_short(other)}"
                break


def _of_checkpoints(run: RunDirectory, reference: RunDirectory) -> list[str]:
    saved, wanted = (list_checkpoints(each.checkpoints_path) for each in (run, reference))
    if [step for step, _ in saved] != [step for step, _ in wanted]:
        return [f"checkpoints: {[s for s, _ in saved]} instead of {[s for s, _ in wanted]}"]
    found = []
    for (_, path), (_, other) in zip(saved, wanted, strict=True):
        for file in files_of(other):
            name = file.relative_to(other)
            here = path / name
            if not here.is_file():
                found.append(f"{path.name}: {name} is missing")
            elif str(name) == MANIFEST:
                if _manifest(here.read_bytes()) != _manifest(file.read_bytes()):
                    found.append(f"{path.name}: {name} differs")
            elif str(name) == "state.json":
                found += _of_states(path.name, run, here.read_bytes(), reference, file.read_bytes())
            elif here.read_bytes() != file.read_bytes():
                found.append(f"{path.name}: {name} differs")
    return found


def _of_states(
    name: str, run: RunDirectory, state: bytes, reference: RunDirectory, other: bytes
) -> Iterator[str]:
    here, there = json.loads(state), json.loads(other)
    for journal in JOURNALS:
        key = f"{journal}_offset"
        offset, wanted = here["extra"].pop(key), there["extra"].pop(key)
        before = list(_lines(run, journal, offset)), list(_lines(reference, journal, wanted))
        if before[0] != before[1]:
            yield f"{name}: in front of its offset {journal} has {len(before[0])} lines or others"
    if here != there:
        keys = [key for key in there if here.get(key) != there[key]]
        yield f"{name}: state.json differs in {', '.join(keys)}"


def _lines(run: RunDirectory, name: str, end: int | None = None) -> Iterator[bytes]:
    """The journal's lines that must be the same, as JSON with sorted keys."""
    *lines, torn = (run.path / f"{name}.jsonl").read_bytes()[:end].split(b"\n")
    for line in lines:
        if (kept := _compared(json.loads(line))) is not None:
            yield json.dumps(kept, sort_keys=True).encode()
    if torn:
        yield b"a line without an end: " + torn


def _compared(record: dict[str, Any]) -> dict[str, Any] | None:
    if record["kind"] == "state" and record["state"] != Phase.FINISHED:
        return None
    if record["kind"] == "log" and record["message"].startswith(_OF_A_WORKER):
        return None
    kept = {key: value for key, value in record.items() if key != "time"}
    if isinstance(kept.get("metrics"), Mapping):
        kept["metrics"] = {
            name: value for name, value in kept["metrics"].items() if not name.startswith(_CLOCK)
        }
    return kept


def _manifest(content: bytes) -> Any:
    manifest = json.loads(content)
    manifest["sha256"]["state.json"] = "compared by its content"
    return manifest


def _names(run: RunDirectory) -> set[str]:
    return {str(path.relative_to(run.path)) for path in run.path.rglob("*")}


def _short(line: bytes | None) -> str:
    return "nothing" if line is None else line.decode()[:_SHOWN]
