"""`ppo-tui reward`: make a reward of people's ratings that other runs can use, and look at one.

Nothing here loads torch. What needs the base model, reading texts that have no reading yet and
training a reward adapter, happens in a process of its own (`ppo_tui.fit_messages`).
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.cli.answer import Json, answer_json, say, show, tell
from ppo_tui.cli.failures import exit_code_of, report

if TYPE_CHECKING:
    from ppo_tui.fit_messages import Reply, Trained
    from ppo_tui.reward_fit import Gathered
    from ppo_tui.reward_seen import Seen
    from ppo_tui.taste.lesson import Told

app = typer.Typer(
    help="A reward made of people's ratings: fit one that other runs can use, and look at it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

BAR = 20
ENDING_SECONDS = 10.0

EPOCHS = 6


@app.command("fit")
def fit(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Runs, or files of ratings, on the same base model."),
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="PATH", help="The folder that is made for the reward.")
    ],
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Train a LoRA on the base; for many ratings.")
    ] = False,
    epochs: Annotated[
        int, typer.Option(min=1, max=1000, help="--adapter: most passes over the ratings.")
    ] = EPOCHS,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="--adapter: of its first weights.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a reward at PATH.")] = False,
    as_json: Json = False,
) -> None:
    """Fit a reward to the ratings of runs and files, and save it for use in other runs."""
    from ppo_tui.reward_fit import gather, refuse_taken

    target = to.expanduser().absolute()
    refuse_taken(target, overwrite=force)
    gathered = gather(sources)
    for note in gathered.notes:
        say(note)
    if adapter:
        answer = _fit_adapter(sources, target, epochs, seed, force, as_json)
    else:
        answer = _fit_taste(sources, gathered, target, force, as_json)
    if as_json:
        left_out = {"damaged": gathered.ratings.damaged, "unknown_base": gathered.unknown}
        answer_json({"path": str(target), **answer, **left_out})


@app.command("show")
def show_(
    name: Annotated[
        str, typer.Argument(metavar="RUN|PATH", help="A run, or a folder made by `reward fit`.")
    ],
    as_json: Json = False,
) -> None:
    """Tell what is known of a person's taste: how well it foretells ratings, and from how many."""
    from ppo_tui.reward_seen import seen_in_artefact, seen_in_run

    path = Path(name).expanduser()
    is_folder = "\0" not in name and path.is_dir() and not (path / "state.json").exists()
    seen = seen_in_artefact(path) if is_folder else seen_in_run(name)
    if as_json:
        answer_json(seen.to_dict())
    else:
        _print(seen)


# ---- fitting


def _fit_taste(
    sources: Sequence[str], gathered: Gathered, to: Path, force: bool, as_json: bool
) -> dict[str, Any]:
    from ppo_tui.fit_messages import Read, reading_command
    from ppo_tui.reward_fit import check_signal, fit_taste
    from ppo_tui.reward_seen import seen_in_artefact
    from ppo_tui.runs.paths import shown

    check_signal(gathered.ratings)
    lacking = len(gathered.lacking)
    if lacking:
        say(f"{lacking} rated texts have no reading yet: the base model has to read them.")
        readings = {}
        for reply in _replies(reading_command(sources), as_json):
            if isinstance(reply, Read):
                readings[reply.prompt, reply.response] = reply.reading
        gathered = gathered.with_readings(readings)
    fit_taste(gathered, to, overwrite=force)
    seen = seen_in_artefact(to)
    if not as_json:
        tell(shown(to))
        say(f"Learnt from {seen.sentence}")
        say(f"A run uses it with reward: {{kind: human, from: {shown(to)}}}")
    return {**seen.to_dict(), "readings_made": lacking}


def _fit_adapter(
    sources: Sequence[str], to: Path, epochs: int, seed: int, force: bool, as_json: bool
) -> dict[str, Any]:
    from ppo_tui.errors import RunError
    from ppo_tui.fit_messages import Read, Trained, adapter_command
    from ppo_tui.reward_seen import seen_in_artefact
    from ppo_tui.runs.paths import shown

    command = adapter_command(sources, to, epochs=epochs, seed=seed, overwrite=force)
    trained, made = None, 0
    for reply in _replies(command, as_json):
        if isinstance(reply, Trained):
            trained = reply
        made += isinstance(reply, Read)
    if trained is None:
        raise RunError("the training ended without a word", code="internal")
    seen = seen_in_artefact(to)
    if not as_json:
        tell(shown(to))
        say(f"Learnt from {seen.sentence}")
        for line in _verdict(trained):
            say(line)
        say(f"A run uses it with reward: {{kind: adapter, path: {shown(to)}}}")
    return {
        **seen.to_dict(),
        "readings_made": made,
        "epochs": trained.epochs,
        "seconds": trained.seconds,
        "held_out": {"adapter": trained.adapter, "taste": trained.taste},
        "better": trained.better,
    }


def _verdict(trained: Trained) -> Iterator[str]:
    """How the adapter compares with the taste model, plainly."""
    from ppo_tui.text.figures import number, percent

    for key, title, figure in (
        ("correlation", "held-out rank correlation", number),
        ("accuracy", "held-out pairs in the right order", percent),
    ):
        if trained.adapter.get(key) is not None:
            adapter, taste = figure(trained.adapter[key]), figure(trained.taste.get(key))
            yield f"{title}: adapter {adapter}, taste model {taste}"
    if trained.better == "taste":
        yield (
            "The taste model is the better one with so few ratings: fit without --adapter, "
            "or rate more."
        )
    elif trained.better == "adapter":
        yield "The adapter is the better one."
    else:
        yield (
            "They do not differ by more than chance, and the taste model also knows where it is "
            "unsure: fit without --adapter."
        )
    if trained.epochs == 0:
        yield "Training the LoRA did no good: the reward is a linear one on the base as it is."


def _replies(command: Sequence[str], as_json: bool) -> Iterator[Reply]:
    """What the fitting process says, its progress told on the way; a failure ends the command."""
    from ppo_tui.conversation import how_it_ended, last_words
    from ppo_tui.fit_messages import Failure, Status, read_reply

    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Ctrl-C in the terminal is for this process, which then ends that one.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for line in process.stdout:
                try:
                    reply = read_reply(line)
                except ValueError:
                    continue  # of no kind that matters here
                if isinstance(reply, Failure):
                    report(reply.code, reply.message, reply.hint, as_json=as_json)
                    raise typer.Exit(int(exit_code_of(reply.code)))
                if isinstance(reply, Status):
                    say(reply.message)
                else:
                    yield reply
            if code := process.wait():
                said = "\n".join(last_words(log))
                message = f"The process that fits the reward is gone: {how_it_ended(code)}."
                report("reward.process", message, said, as_json=as_json)
                raise typer.Exit(int(exit_code_of("reward.process")))
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, whatever it is doing: closing its stdin does."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- showing


def _print(seen: Seen) -> None:
    from ppo_tui.runs.paths import shown

    what = {"run": "run", "human": "reward", "adapter": "reward adapter"}.get(seen.kind, seen.kind)
    tell(f"{what} {shown(seen.name)}")
    facts = {
        "base model": shown(seen.model) if seen.model else "",
        "identity": seen.base,
        "ratings": str(seen.ratings) if seen.ratings else "",
        "pairs": str(seen.pairs) if seen.pairs else "",
        "people": str(seen.raters) if seen.raters else "",
        "made": seen.date,
        "damaged": f"{seen.damaged} lines that are no rating" if seen.damaged else "",
    }
    for fact, value in facts.items():
        if value:
            tell(f"  {fact:<12}{value}")
    if seen.problem:
        tell(f"  nothing is learnt yet: {seen.problem}")
    _print_agreement(seen)
    for title, texts in (("It likes most", seen.likes), ("It likes least", seen.dislikes)):
        if texts:
            tell(f"\n{title}:")
            for told in texts:
                _print_text(told)


def _print_agreement(seen: Seen) -> None:
    if not seen.points:
        return
    from rich.table import Table

    from ppo_tui.text.figures import number, percent

    rated = any(point.correlation == point.correlation for point in seen.points)
    compared = any(point.accuracy == point.accuracy for point in seen.points)
    tell("\nAgreement with ratings that were held out:")
    table = Table(box=None, pad_edge=False)
    table.add_column("learnt from", justify="right", no_wrap=True)
    if rated:
        table.add_column("rank correlation", justify="right", no_wrap=True)
    if compared:
        table.add_column("pairs right", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for point in seen.points:
        # Half of the pairs are right by chance.
        share = point.correlation if rated else 2 * point.accuracy - 1
        cells = [str(point.count)]
        cells += [number(point.correlation)] if rated else []
        cells += [percent(point.accuracy)] if compared else []
        table.add_row(*cells, _bar(share))
    show(table)


def _bar(share: float) -> str:
    """The share as a bar; nothing for what is no better than chance."""
    return "█" * round(BAR * min(1.0, max(0.0, share))) if share == share else ""


def _print_text(told: Told) -> None:
    from ppo_tui.text.plain import plain

    text = " ".join(plain(told.response).split())
    short = text if len(text) <= 90 else f"{text[:89]}…"
    tell(f"  {told.mean:.1f} ±{told.std:.1f}  {short}")
