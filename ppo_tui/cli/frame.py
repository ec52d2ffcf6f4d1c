"""The live picture of a run for a terminal: fits 80x24, needs no colour, takes no markup."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ppo_tui.runs.phase import Phase
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.state import Observed
from ppo_tui.text.figures import compact, duration, number, percent, sparkline
from ppo_tui.text.plain import plain, shortened

WORDS = {
    Phase.CREATED: "created",
    Phase.LOADING: "loading",
    Phase.ROLLOUT: "writing responses",
    Phase.SCORING: "scoring",
    Phase.UPDATE: "updating",
    Phase.EVALUATING: "evaluating",
    Phase.SAVING: "saving",
    Phase.PAUSED: "paused",
    Phase.AWAITING_RATINGS: "waiting for ratings",
    Phase.STOPPING: "stopping",
    Phase.STOPPED: "stopped",
    Phase.FINISHED: "finished",
    Phase.FAILED: "failed",
    Phase.CRASHED: "crashed",
}
_WAITING = {
    Phase.CREATED: "The worker is being started.",
    Phase.LOADING: "Loading the libraries, the model and the prompts.",
    Phase.PAUSED: "Paused; `ppo-tui continue` lets it go on.",
}
_SPARK_LEAST, _SPARK_MOST = 12, 60
_BESIDE_SPARK = 52
_MOST_TERMS = 3
_MOST_SAMPLE_LINES = 8
_FIXED_LINES = 9


@dataclass(frozen=True)
class Title:
    """What the run is, as its configuration says."""

    name: str
    model: str
    preset: str
    device: str
    total: int


def frame(
    title: Title, seen: Observed, progress: Progress, footer: str, console: Console
) -> RenderableType:
    """One picture, no higher than the console."""
    ascii_only = console.options.ascii_only
    health = _health(progress, console.width)
    figures, rows = _figures(progress, console.width, ascii_only=ascii_only)
    room = console.height - _FIXED_LINES - rows - len(health)
    parts: list[RenderableType] = [_heading(title, progress), _bar(title, seen, progress)]
    parts += [Text(), figures, Text()]
    parts += _sample(seen, progress, console, max(1, min(_MOST_SAMPLE_LINES, room)))
    if health:
        parts += [Text(), *health]
    parts.append(Text())
    parts.append(Text(footer, style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _heading(title: Title, progress: Progress) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(plain(title.name), style="bold")
    parts = [
        title.model,
        progress.device or title.device,
        title.preset and f"preset {title.preset}",
    ]
    for part in filter(None, parts):
        text.append(" · ", style="dim")
        text.append(plain(part))
    return text


def _bar(title: Title, seen: Observed, progress: Progress) -> RenderableType:
    step, total = max(progress.step, 0), title.total or seen.state.total
    left = progress.seconds_left(total)
    words = WORDS[seen.phase]
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    clock = f"{duration(progress.seconds_so_far)} so far"
    if seen.phase in (Phase.EVALUATING, Phase.SAVING) and step >= total:
        clock += ", nearly done"
    elif left is not None:
        clock += f", {duration(left)} to go"
    if seen.phase is Phase.AWAITING_RATINGS and seen.state.message:
        words += f": {plain(seen.state.message)}"
    line.add_row(
        Text(f"step {step} of {total or '?'}, {words}", style="bold"),
        ProgressBar(total=max(total, 1), completed=step, width=None),
        Text(clock),
    )
    return line


def _figures(progress: Progress, width: int, *, ascii_only: bool) -> tuple[Table, int]:
    m, curves = progress.metrics, progress.curves

    room = min(_SPARK_MOST, max(_SPARK_LEAST, width - _BESIDE_SPARK))

    def curve(name: str) -> str:
        return sparkline(curves.get(name, []), room, ascii_only=ascii_only)

    terms = progress.terms
    shown = list(terms.items())[:_MOST_TERMS] if len(terms) > 1 else []
    left = [("reward", number(m.get("reward/score")), curve("reward/score"))]
    left += [(f"  {shortened(name, 14)}", number(value), "") for name, value in shown]
    left += [
        ("KL to the base", number(m.get("kl/ref")), curve("kl/ref")),
        ("KL weight", number(m.get("kl/coef")), ""),
        ("entropy", number(m.get("policy/entropy")), ""),
        ("clipped", percent(m.get("policy/clip_fraction")), ""),
    ]
    right = [
        ("value explained", percent(m.get("value/explained_variance"))),
        ("response tokens", number(m.get("response/length"))),
        ("ended by itself", percent(m.get("response/eos_rate"))),
        ("learning rate", number(m.get("optim/lr"))),
        ("tokens a second", compact(m.get("throughput/tokens_per_s"))),
    ]
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, ratio=1, min_width=_SPARK_LEAST, style="cyan")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, justify="right")
    rows = max(len(left), len(right))
    for i in range(rows):
        name, value, spark = left[i] if i < len(left) else ("", "", "")
        other, figure = right[i] if i < len(right) else ("", "")
        strong = "bold" if name in ("reward", "KL to the base") else ""
        table.add_row(Text(name), Text(value, style=strong), Text(spark), Text(other), Text(figure))
    return table, rows


def _sample(
    seen: Observed, progress: Progress, console: Console, room: int
) -> list[RenderableType]:
    sample = progress.sample
    if sample is None:
        waiting = _WAITING.get(seen.phase, "The first step is under way.")
        said = plain(progress.said) or waiting
        return [Text(said, style="dim", no_wrap=True, overflow="ellipsis")]
    head = (
        f"step {sample.step} wrote (score {number(sample.score)}, KL {number(sample.kl)}, "
        f"{sample.length} tokens):"
    )
    text = Text()
    text.append(plain(sample.prompt), style="dim")
    # Where the prompt ends must be seen without colour as well.
    text.append(" > " if console.options.ascii_only else " ▸ ", style="cyan")
    text.append(plain(sample.response).lstrip())
    if not sample.finished:
        text.append(" …", style="dim")
    lines = list(text.wrap(console, max(20, console.width - 2)))
    if len(lines) > room:
        # The end is what the policy wrote last; a long prompt must not hide it.
        lines = lines[-room:]
    return [Text(head, style="dim"), *(Text("  ") + line for line in lines)]


def _health(progress: Progress, width: int) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for item in list(progress.health.values())[-2:]:
        where = f"step {item.step}: " if item.step is not None else ""
        level = plain(item.level or "note")
        text = Text(f"{level}: {where}{plain(item.message)}", style="yellow")
        if item.hint:
            text.append(f" {plain(item.hint)}", style="dim")
        text.truncate(2 * width - 1, overflow="ellipsis")
        lines += list(text.wrap(Console(width=width), width))[:2]
    return lines
