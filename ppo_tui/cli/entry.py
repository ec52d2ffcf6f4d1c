"""The program `ppo-tui`: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ppo_tui.cli import (
    chat,
    config,
    control,
    demo,
    doctor,
    export,
    models,
    plan,
    presets,
    rate,
    ratings,
    reward,
    runs,
    train,
    trust,
    watch,
)
from ppo_tui.cli.answer import say
from ppo_tui.cli.failures import INTERRUPTED, report, report_error, report_unexpected
from ppo_tui.errors import ExitCode, PpoTuiError

PROGRAM = "ppo-tui"

SECTIONS = {
    "Train": ("demo", "train", "resume"),
    "Watch and steer a run": ("watch", "pause", "continue", "checkpoint", "stop"),
    "Teach it your taste": ("rate", "ratings", "reward"),
    "Use the tuned model": ("chat", "export"),
    "Look things up": ("runs", "presets", "models", "config", "plan", "trust", "doctor"),
}


class _Commands(TyperGroup):
    """The commands, listed by what they are for; an unknown one gets the nearest name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the help."""
        ordered = [name for names in SECTIONS.values() for name in names]
        return sorted(self.commands, key=lambda name: (name not in ordered, name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The help's lists of commands."""
        widest = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                rows = [
                    (name.ljust(widest), self.commands[name].get_short_help_str(64))
                    for name in names
                ]
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            if len(args) == 1 and _is_run(name):
                return watch.OPEN, self.commands[watch.OPEN], args
            # `last` is no command, but a word that stands for one's newest run.
            shown = [known for known, command in self.commands.items() if not command.hidden]
            near = difflib.get_close_matches(name, [*shown, "last"], n=1, cutoff=0.5)
            nearest = f"did you mean {near[0]!r}?" if near else "`ppo-tui --help` lists them."
            ctx.fail(f"There is no command {name!r}: {nearest}")
        return super().resolve_command(ctx, args)


def _is_run(text: str) -> bool:
    """Whether a word that is no command names a run, or a folder that may be one."""
    from ppo_tui.runs.catalog import find_run

    try:
        find_run(text)
    except PpoTuiError as error:
        # A path, or a beginning of several names, is meant as a run; the error says the rest.
        return text == "last" or os.sep in text or error.code == "run.ambiguous"
    return True


app = typer.Typer(
    name=PROGRAM,
    cls=_Commands,
    help="Fine-tune a language model with PPO on one GPU of your own, from the terminal.",
    epilog="New here? `ppo-tui demo` trains the bundled model in about a minute, on any computer.",
    rich_markup_mode=None,  # plain help: rich would cost a third of its time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from ppo_tui import __version__

        print(f"{PROGRAM} {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        from ppo_tui.cli.open_app import has_terminal, open_app

        if has_terminal():
            raise typer.Exit(open_app())
        runs.greet()
        print(context.get_help())  # noqa: T201


for _module in (demo, train, watch, control, rate, chat, export, plan, doctor):
    _module.add_to(app)
for _name, _group in (
    ("runs", runs.app),
    ("presets", presets.app),
    ("config", config.app),
    ("models", models.app),
    ("ratings", ratings.app),
    ("reward", reward.app),
    ("trust", trust.app),
):
    app.add_typer(_group, name=_name)


def main() -> None:
    """The entry point: run the command line of this process and end it with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. No exception but SystemExit leaves here."""
    options = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    as_json = "--json" in options
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding must not turn an arrow into a traceback.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        command = typer.main.get_command(app)
        code = command.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except PpoTuiError as error:
        return report_error(error, as_json=as_json)
    except typer.TyperException as error:
        return _report_usage(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return int(ExitCode.FAILED)
    except Exception as error:  # the user sees one sentence, and where the traceback lies
        return report_unexpected(error, as_json=as_json)
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _report_usage(error: Any, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    report("usage", error.format_message(), f"`{path} --help` tells more.", as_json=as_json)
    return int(ExitCode.USAGE)


def _forget_stdout() -> None:
    """Let Python's own last flush go nowhere, where it would complain about the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
