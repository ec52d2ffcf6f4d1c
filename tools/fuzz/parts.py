"""What is fed with damaged files: everything that reads what may come from somebody else.

A part makes inputs and reads each as the program does. What a reader may do with one: take it, or
refuse it with an error of ours whose message is one line that a terminal can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ppo_tui.config.presets import load_preset, preset_names
from ppo_tui.config.resolve import config_to_yaml, parse_config, resolve
from ppo_tui.config.schema import DataConfig
from ppo_tui.data.prompts import load_prompts
from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.answers import AnswerBook
from ppo_tui.runs.catalog import list_runs
from ppo_tui.runs.checkpoints import good_checkpoints, list_checkpoints, verify_checkpoint
from ppo_tui.runs.control import Inbox
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.history import History, HistoryReader
from ppo_tui.runs.journal import JournalTail, JournalWriter, read_journal
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.lock import holder, is_held
from ppo_tui.runs.log_tail import LogTail
from ppo_tui.runs.pool import read_pool
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.ratings import RatingsFile
from ppo_tui.runs.samples import SampleBook
from ppo_tui.runs.state import observe
from ppo_tui.taste.artefact import RECORD, TENSORS, load_artefact
from ppo_tui.text.plain import plain
from tools.fuzz import valid
from tools.fuzz.inputs import changed, journals, json_files, torn

LONGEST_MESSAGE = 4000
"""Characters that a single sentence may have, whatever it quotes."""


@dataclass(frozen=True)
class Part:
    """A kind of file.

    Attributes:
        share: Of all inputs.
        inputs: What is made; any value that `read` takes.
        read: Reads one in a folder of its own, which keeps what the last input left there.
    """

    name: str
    share: float
    inputs: st.SearchStrategy[Any]
    read: Callable[[Path, Any], None]


@contextmanager
def refused() -> Iterator[None]:
    """Let an error of ours pass that is fit to be shown; nothing else."""
    try:
        yield
    except PpoTuiError as error:
        _check_words(error)


def _check_words(error: PpoTuiError) -> None:
    for words in (error.message, error.hint, error.code):
        assert plain(words) == words, f"not fit for a terminal: {words!r}"
        assert len(words) <= LONGEST_MESSAGE, f"{len(words)} characters: {words[:200]!r}"
    assert error.message, "no word of what happened"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def read_config(folder: Path, given: tuple[bytes, str]) -> None:
    """A configuration: as text, as a file with a setting, as a preset, or the setting itself."""
    data, way = given
    path = folder / "presets" / "fuzzed.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    with refused():
        if way == "text":
            config = parse_config(_text(data), "somebody's file")
            assert parse_config(config_to_yaml(config), "written again") == config
        elif way == "file":
            resolve(str(path), ["steps=3"]).to_yaml()
        elif way == "preset":
            _ = load_preset("fuzzed").description
            assert "fuzzed" in preset_names()
        else:
            resolve("demo", [_text(data[:300])])


def run_in(folder: Path) -> RunDirectory:
    """The run that the parts below damage."""
    run = RunDirectory(folder / "runs" / "one")
    if not run.path.is_dir():
        run = RunDirectory.create(run.path, valid.configs()[0].decode(), total=36)
    return run


def read_events(folder: Path, given: tuple[bytes, float]) -> None:
    """The journal of events: whole, in two pieces, as columns, as progress, in a list of runs."""
    data, at = given
    run = run_in(folder)
    path, split = run.events_path, int(at * len(data))
    path.write_bytes(data[:split])
    tail = JournalTail(path)
    found: list[dict[str, Any]] = []
    while records := tail.poll().records:
        found += records
    progress, answers = Progress(run), AnswerBook(run)
    progress.poll()
    answers.poll()
    path.write_bytes(data)
    while (chunk := tail.poll()).records or chunk.restarted:
        found = chunk.records if chunk.restarted else found + chunk.records
    whole = read_journal(path)
    assert repr(found) == repr(whole.records), "a split changed what was read"
    progress.poll()
    _ = progress.terms, progress.seconds_left(36), progress.take_news()
    answers.poll()
    history, reader = History(), HistoryReader(path)
    while not (batch := reader.poll()).empty:
        history.extend(batch.block)
    _ = history.times(), history.last(), [history.series(name) for name in history.names]
    list_runs(folder / "runs")


def read_texts(folder: Path, data: bytes) -> None:
    """The journals of samples, of candidates and of ratings, and a log."""
    run = run_in(folder)
    for path in (run.samples_path, run.pool_path, run.ratings_path, run.log_path):
        path.write_bytes(data)
    book = SampleBook(run.samples_path)
    last = book.last_step()
    if last is not None:
        book.of_step(last)
    book.of_prompt("a prompt")
    for order in ("best", "worst", "longest"):
        book.ranked(order)
    with refused():
        read_pool(run.pool_path)
    with refused():
        ratings = RatingsFile(run.ratings_path).read()
        _ = ratings.raters, ratings.of_base("base"), ratings.all
    LogTail(run.log_path).poll()
    with JournalWriter(run.pool_path) as journal:
        journal.append({"kind": "added"})
    assert read_journal(run.pool_path).records[-1] == {"kind": "added"}


def read_checkpoint(folder: Path, given: tuple[bytes, bytes | None]) -> None:
    """A checkpoint: its manifest, and a state that fits a manifest."""
    state, manifest = given
    run = run_in(folder)
    path = run.checkpoints_path / "step-000003"
    right = valid.manifest(state) if manifest is None else manifest
    valid.folder_of(path, {"state.json": state, "manifest.json": right})
    assert list_checkpoints(run.checkpoints_path) == [(3, path)]
    with refused():
        verify_checkpoint(path)
    with refused():
        list(good_checkpoints(run))


def read_run(folder: Path, given: tuple[bytes, bytes, bytes, bytes]) -> None:
    """A run directory: its state, its launch, its lock and a request."""
    state, launch, lock, request = given
    run = run_in(folder)
    names = {"state.json": state, "launch.json": launch, "lock": lock}
    valid.folder_of(run.path, names)
    for old in run.control_path.iterdir():
        old.unlink()
    (run.control_path / "00000000000000000001-0000.json").write_bytes(request)
    with refused():
        seen = observe(run)
        _ = seen.error, seen.ended
    _ = last_launch(run), holder(run), is_held(run)
    with refused():
        inbox = Inbox(run)
        for taken in inbox.take():
            inbox.answer(taken)
        assert all(odd.problem.isprintable() for odd in inbox.set_aside)
    list_runs(folder / "runs")


def read_prompts(folder: Path, given: tuple[str, bytes, str | None]) -> None:
    """A file of prompts."""
    ending, data, column = given
    path = folder / f"prompts{ending}"
    path.write_bytes(data)
    with refused():
        for prompt in load_prompts(DataConfig(prompts=str(path), column=column)):
            prompt.text.encode()


def read_reward(folder: Path, given: tuple[bytes, bytes]) -> None:
    """A saved reward."""
    record, tensors = given
    valid.folder_of(folder / "reward", {RECORD: record, TENSORS: tensors})
    with refused():
        load_artefact(folder / "reward")


def read_adapter(folder: Path, given: tuple[bytes, bytes]) -> None:
    """The files of a trained reward adapter."""
    from ppo_tui.policy.reward_files import read_reward_adapter

    config, tensors = given
    place = folder / "adapter"
    valid.folder_of(place, {"adapter_config.json": config, "adapter_model.safetensors": tensors})
    with refused():
        read_reward_adapter(place)


def _prompts() -> st.SearchStrategy[Any]:
    files = valid.prompts()
    column = st.sampled_from([None, None, "prompt", "id", "\x1b", ""])
    return st.one_of(
        *(st.tuples(st.just(ending), torn(found), column) for ending, found in files.items())
    )


def parts() -> tuple[Part, ...]:
    """All parts; their shares add up to 1."""
    import torch  # noqa: F401  (before anybody measures how much room an input takes)

    events, state = valid.events(), valid.checkpoint_state()
    lines = [*valid.samples(), *valid.pool(), *valid.ratings()]
    asked, tensors = valid.requests(), valid.taste_tensors()
    checkpoints = st.one_of(
        st.tuples(json_files([state]), st.none()),
        st.tuples(st.just(state), json_files([valid.manifest(state)])),
    )
    runs = st.tuples(
        json_files([valid.state()]),
        json_files([valid.launch()]),
        json_files([valid.launch()]),
        json_files(asked),
    )
    rewards = st.one_of(
        st.tuples(json_files([valid.reward_record()]), st.just(tensors)),
        st.tuples(st.just(valid.reward_record()), torn([tensors])),
    )
    adapters = st.one_of(
        st.tuples(json_files([valid.adapter_config()]), st.just(valid.adapter_tensors())),
        st.tuples(st.just(valid.adapter_config()), torn([valid.adapter_tensors()])),
    )
    written = valid.configs()
    settings = [b"ppo.kl_coef=0.1", b"reward.terms=[{kind: length, target: 3}]", b"model.name=x"]
    configs = st.one_of(
        st.tuples(torn(written), st.sampled_from(["text", "file", "preset"])),
        st.tuples(changed(written[-2:-1]), st.sampled_from(["text", "file", "preset"])),
        st.tuples(torn(settings), st.just("setting")),
    )
    return (
        Part("config", 0.15, configs, read_config),
        Part("events", 0.2, st.tuples(journals(events), st.floats(0, 1)), read_events),
        Part("texts", 0.2, journals(lines), read_texts),
        Part("checkpoint", 0.1, checkpoints, read_checkpoint),
        Part("run", 0.1, runs, read_run),
        Part("prompts", 0.15, _prompts(), read_prompts),
        Part("reward", 0.05, rewards, read_reward),
        Part("adapter", 0.05, adapters, read_adapter),
    )
