"""`ppo-tui train` and `ppo-tui resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ppo_tui.cli.answer import Json, Settings, answer_json, say, tell
from ppo_tui.cli.trust import Trust

RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="Where the run is kept; must not exist yet, or be empty."),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Start the run and leave; it goes on by itself.")
]

CTRL_C = (
    "Ctrl-C finishes the step, saves and stops; a second one stops at once, without saving; a "
    "third leaves without waiting. The run itself is a process of its own: it survives a closed "
    "terminal."
)


def add_to(app: typer.Typer) -> None:
    """Put the commands of this module into the program."""
    app.command("train", epilog=CTRL_C)(train)
    app.command("resume", epilog=CTRL_C)(resume)


def train(
    source: Annotated[
        str, typer.Argument(metavar="PRESET|FILE", help="A preset's name, or a YAML file.")
    ],
    settings: Settings = None,
    run_dir: RunDir = None,
    detach: Detach = False,
    trust: Trust = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the configuration and the memory plan; start nothing."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train with a preset or a configuration file, and follow the run."""
    from ppo_tui.config.paths import with_absolute_paths
    from ppo_tui.config.resolve import resolve

    resolved = with_absolute_paths(resolve(source, settings or ()))
    if dry_run:
        from ppo_tui.cli import plan
        from ppo_tui.cli.trust import tell_unconfirmed
        from ppo_tui.errors import UsageError
        from ppo_tui.prepare import preflight
        from ppo_tui.prepare.forecast import plan_of

        if trust:
            raise UsageError("--trust has no meaning with --dry-run, which executes nothing.")
        preflight.check(resolved.config, starts=False)
        made = plan_of(resolved.config)
        if as_json:
            answer_json(
                {
                    "config": resolved.config.model_dump(mode="json"),
                    "origins": dict(resolved.origins),
                    "plan": made.to_dict(),
                }
            )
            return
        tell_unconfirmed(resolved.config)
        tell(resolved.to_yaml())
        for line in plan.plan_lines(made):
            tell(f"# {line}".rstrip())
        return

    from ppo_tui.cli import plan, session
    from ppo_tui.cli.trust import settle
    from ppo_tui.prepare.new_run import make_run, start
    from ppo_tui.trust import named_code

    settle(named_code(resolved.config), trust, as_json=as_json)
    new = make_run(resolved, source, run_dir)
    plan.foretell(resolved.config)
    worker = start(new)
    if detach:
        session.detach(new.run, worker, as_json=as_json)
        return
    raise typer.Exit(session.attend(new.run, worker, as_json=as_json, new=new))


def resume(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`."),
    ],
    detach: Detach = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Go on with a run from its last checkpoint, and follow it."""
    from ppo_tui.cli import session
    from ppo_tui.cli.follow import follow
    from ppo_tui.cli.outcome import conclude
    from ppo_tui.cli.trust import settle
    from ppo_tui.prepare.resume import resume_run, stored_config
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.phase import Phase
    from ppo_tui.runs.state import observe
    from ppo_tui.trust import named_code

    run = find_run(name)
    seen = observe(run)
    if seen.phase is Phase.FINISHED and not seen.alive:
        say(f"{shown(run.name)} is finished; there is nothing to go on with.")
        raise typer.Exit(conclude(run, follow(run, stops=False), stops=False, as_json=as_json))
    if not seen.alive:  # else it is refused in a sentence
        settle(named_code(stored_config(run)), trust, as_json=as_json)
    worker = resume_run(run)
    if detach:
        session.detach(run, worker, as_json=as_json)
        return
    raise typer.Exit(session.attend(run, worker, as_json=as_json))
