"""`ppo-tui ratings`: what people have said of a run's texts, and its way into and out of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ppo_tui.cli.answer import Json, answer_json, say, tell
from ppo_tui.text.plain import plain

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.runs.ratings import Ratings

app = typer.Typer(
    help="Show, export and import the ratings of runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`.")
]

_WIDEST_BAR = 40


@app.command("show")
def show(name: Run, as_json: Json = False) -> None:
    """Show how many ratings a run has, of whom, and how they spread."""
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.ratings import RatingsFile

    run = find_run(name)
    held = RatingsFile(run.ratings_path).read()
    if as_json:
        answer_json(_as_object(run, held))
    elif not held.count and not held.skips and not held.damaged and not held.newer:
        say(f"{plain(run.name)} has no ratings yet. `ppo-tui rate {plain(run.name)}` gives some.")
    else:
        _print(run, held)


@app.command("export")
def export(
    name: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; one rating a line.")],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace a file that is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a run's ratings to a file, which another run on the same base can use.

    Those that are in force: nothing that was taken back, and the newest of what was given again.
    """
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.ratings import export_ratings

    count = export_ratings(find_run(name), file, overwrite=force)
    if as_json:
        answer_json({"file": str(file.absolute()), "count": count})
        return
    tell(shown(file))
    say(f"{count} ratings and pairs. `ppo-tui ratings import RUN FILE` adds them to another run.")


@app.command("import")
def import_(
    name: Run,
    source: Annotated[
        str,
        typer.Argument(metavar="FROM", help="A file of ratings, another run, or its directory."),
    ],
    as_json: Json = False,
) -> None:
    """Add ratings that were given elsewhere, on the same base model, to a run's own.

    What is there already is not counted twice, so importing again does no harm.
    """
    from ppo_tui.plan.identity import base_identity
    from ppo_tui.prepare.resume import stored_config
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.ratings import import_ratings

    run = find_run(name)
    model = stored_config(run).model
    done = import_ratings(_source(source), run, base_identity(model), model.name)
    if as_json:
        answer_json(
            {
                "run_dir": str(run.path),
                "added": done.added,
                "already": done.already,
                "other_base": done.other_base,
                "taken_back": done.taken_back,
                "damaged": done.damaged,
            }
        )
        return
    words = [f"{done.added} added"]
    words += [f"{done.already} there already"] if done.already else []
    words += [f"{done.taken_back} taken back since"] if done.taken_back else []
    words += [f"{done.other_base} of another base left out"] if done.other_base else []
    words += [f"{done.damaged} damaged lines left out"] if done.damaged else []
    tell(f"{shown(run.name)}: {', '.join(words)}.")


def _source(text: str) -> Path:
    """The file or folder that is meant; else the run of that name."""
    from ppo_tui.errors import RunError
    from ppo_tui.runs.catalog import find_run

    path = Path(text).expanduser()
    try:
        if path.exists():
            return path
        return find_run(text).path
    except RunError as error:
        if error.code == "run.ambiguous":
            raise
        return path
    except (OSError, ValueError):  # whatever keeps it from being a run, it is no file either
        return path


def _as_object(run: RunDirectory, held: Ratings) -> dict[str, object]:
    return {
        "run_dir": str(run.path),
        "ratings": len(held.ratings),
        "pairs": len(held.pairs),
        "skips": len(held.skips),
        "damaged": held.damaged,
        "newer": held.newer,
        "raters": held.raters,
        "histogram": _histogram(held),
        "pair_choices": _choices(held),
        "bases": [
            {"model": model, "base": base, "count": count}
            for (model, base), count in _bases(held).most_common()
        ],
    }


def _histogram(held: Ratings) -> dict[str, int]:
    from ppo_tui.runs.ratings import SCALE

    given = Counter(each.rating for each in held.ratings)
    return {str(value): given[value] for value in range(SCALE[0], SCALE[1] + 1)}


def _choices(held: Ratings) -> dict[str, int]:
    given = Counter(each.choice for each in held.pairs)
    return {"first": given[1.0], "tie": given[0.5], "second": given[0.0]}


def _bases(held: Ratings) -> Counter[tuple[str, str]]:
    return Counter((each.model, each.base) for each in held.given)


def _count(judgements: Sized, word: str) -> str:
    return f"{len(judgements)} {word}{'' if len(judgements) == 1 else 's'}"


def _print(run: RunDirectory, held: Ratings) -> None:
    tell(f"{plain(run.name)}: {_count(held.ratings, 'rating')}, {_count(held.pairs, 'pair')}")
    histogram = _histogram(held)
    most = max(histogram.values())
    for value, count in histogram.items():
        if most:
            bar = "#" * -(-count * _WIDEST_BAR // most)
            tell(f"  {value:<12}{count:>5}  {bar}".rstrip())
    if held.pairs:
        chosen = _choices(held)
        tell(
            f"  {'pairs':<12}{len(held.pairs):>5}  {chosen['first']} first better, "
            f"{chosen['tie']} tied, {chosen['second']} second better"
        )
    left_out = (("damaged", held.damaged), ("newer", held.newer))
    for what, number in (("skipped", len(held.skips)), *left_out):
        if number:
            tell(f"  {what:<12}{number:>5}")
    for rater, count in held.raters.items():
        tell(f"  {'by':<12}{count:>5}  {plain(rater) or 'somebody without a name'}")
    for (model, base), count in _bases(held).most_common():
        known = f" ({plain(base)[:19]})" if base else ", weights not known"
        tell(f"  {'base':<12}{count:>5}  {plain(model) or 'a model without a name'}{known}")
