"""The command line: parse, call, print; nothing else lives here.

One module a noun (`train`, `runs`, `presets`, ...), each importing what it needs inside its
commands, so that `ppo-tui --help` loads nothing heavy. Beside them stand what all of them share:

    entry       the program: its commands, and the one place where errors become exit codes
    failures    an error as a sentence, or as JSON, and its exit code
    answer      what is printed where: answers on stdout, talk on stderr
    session     attend to a run whose worker was started here
    follow      follow a run until it ends, with `frame` and `lines`
    outcome     how a run ended
"""

from ppo_tui.cli.entry import main

__all__ = ["main"]
