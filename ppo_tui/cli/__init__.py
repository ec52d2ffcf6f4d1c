"""The command line: parse, call, print; nothing else lives here.

One module a noun (`train`, `runs`, `presets`, ...), each importing what it needs inside its
commands, so that `ppo-tui --help` loads nothing heavy. Beside them stand what all of them share:

    open_app    open the app, where there is a terminal for it
    entry       the program: its commands, and the one place where errors become exit codes
    failures    an error as a sentence, or as JSON, and its exit code
    answer      what is printed where: answers on stdout, talk on stderr
    session     attend to a run whose worker was started here
    follow      follow a run until it ends, with `frame` and `lines`
    outcome     how a run ended
"""

import sys

__all__ = ["main"]


def main() -> None:
    """The entry point: the app where nothing is asked for, else the command line."""
    if len(sys.argv) == 1:
        # The app needs no command line, and typer would hold up its first picture by a tenth of a
        # second.
        from ppo_tui.cli.open_app import has_terminal, open_app

        if has_terminal():
            sys.exit(open_app())
    from ppo_tui.cli import entry

    entry.main()
