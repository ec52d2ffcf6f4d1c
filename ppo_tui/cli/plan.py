"""`ppo-tui plan`: whether a run fits the device's memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ppo_tui.cli.answer import Json, Settings, answer_json, say, tell

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.plan import MemoryPlan

_BAR = 30
_MOST_SUGGESTIONS = 3
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("plan")(plan)


def plan(
    source: Annotated[
        str, typer.Argument(metavar="PRESET|FILE", help="A preset's name, or a YAML file.")
    ],
    settings: Settings = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory to plan for, such as 8GB (as cards are sold: 8 GiB); this machine's "
            "device if left out.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a run will hold in memory at its peak, part by part."""
    from ppo_tui.config.paths import with_absolute_paths
    from ppo_tui.config.resolve import resolve
    from ppo_tui.prepare.forecast import plan_of

    size = None if budget is None else parse_size(budget)
    made = plan_of(with_absolute_paths(resolve(source, settings or ())).config, size)
    if as_json:
        answer_json(made.to_dict())
        return
    for line in plan_lines(made):
        tell(line)


def parse_size(text: str) -> int:
    """Bytes of a size such as 8GB, 8GiB, 512M or 8 (GiB); 1 GB is 2**30 bytes, as with cards.

    Raises:
        UsageError: It is no size.
    """
    from ppo_tui.errors import UsageError

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text, re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper() or "G"]) if found else 0
    if not 0 < size < 2**60:
        raise UsageError(
            f"--budget {text[:40]!r} is no size of a memory; write it like 8GB.",
            code="usage.size",
        )
    return size


def foretell(config: RunConfig) -> None:
    """Say before a start whether it will fit, and what would help if not; never in the way."""
    from ppo_tui.errors import ModelError
    from ppo_tui.prepare.forecast import plan_of

    try:
        made = plan_of(config)
    except ModelError:  # it may load all the same; the worker will say
        return
    lines = plan_lines(made)
    say(lines[0])
    for line in lines[1:]:
        if line.lstrip().startswith("--set"):
            say(line)


def plan_lines(made: MemoryPlan) -> list[str]:
    """The plan in words, one part a line with its share as a bar."""
    from ppo_tui.plan.words import rollout_in_words, update_in_words
    from ppo_tui.text.figures import size

    peak = sorted(made.peak_parts, key=lambda part: part.bytes, reverse=True)
    total = size(made.total)
    allowed = " allowed" if made.stated else ""
    against = f"{total} of {size(made.budget)}{allowed}" if made.budget else total
    verdict = f": {made.verdict}" if made.verdict else ""
    lines = [f"memory plan for {made.device}: {against}{verdict}", ""]
    widest = max((len(part.name) for part in peak), default=0)
    for part in peak:
        bar = "█" * max(1, round(_BAR * part.bytes / made.total))
        lines.append(f"  {part.name:<{widest}}  {size(part.bytes):>10}  {bar}")
    lines += [
        "",
        f"  Chosen for the update:   {update_in_words(made)}.",
        f"  Chosen for the rollout:  {rollout_in_words(made)}.",
        f"  Its peak is in the {made.peak_phase}, with prompts of {made.prompt_tokens:,} tokens.",
    ]
    if made.estimated:
        lines.append("  An estimate: this architecture is not known in detail.")
    if made.verdict in ("tight", "too large"):
        for suggestion in made.suggestions[:_MOST_SUGGESTIONS]:
            change = f"--set {suggestion.setting}={suggestion.value}"
            lines.append(f"  {change} saves {size(suggestion.saves)}: {suggestion.explanation}")
    return lines
