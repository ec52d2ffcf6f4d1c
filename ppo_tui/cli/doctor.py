"""`ppo-tui doctor`: what this machine can do, and what is wrong with it."""

from __future__ import annotations

import typer

from ppo_tui.cli.answer import Json, answer_json, tell


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("doctor")(doctor)


def doctor(as_json: Json = False) -> None:
    """Say what this machine can do, and what is wrong with it."""
    from ppo_tui.errors import ExitCode
    from ppo_tui.prepare.checkup import Level, check_machine

    findings = check_machine()
    sick = any(finding.level is Level.PROBLEM for finding in findings)
    if as_json:
        answer_json({"ok": not sick, "findings": [finding.to_dict() for finding in findings]})
    else:
        widest = max(len(finding.subject) for finding in findings)
        for finding in findings:
            tell(f"{finding.level.value:<8}{finding.subject:<{widest + 2}}{finding.text}")
            if finding.advice:
                tell(f"{'':<8}{'':<{widest + 2}}{finding.advice}")
        tell()
        tell("There is a problem; see above." if sick else "This machine can train.")
    if sick:
        raise typer.Exit(int(ExitCode.FAILED))
