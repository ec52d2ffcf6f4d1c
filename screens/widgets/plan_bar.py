"""The memory plan as a bar of its parts against the card, with what would help where it is tight.

Every part has a fill of its own and is named with its size: nothing needs a colour to be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from ..literal import literal

if TYPE_CHECKING:
    from ppo_tui.plan import MemoryPart, MemoryPlan, Suggestion

FREE = "·"
EDGE = "┃"
"""Where the card ends, in the bar of a run that does not fit."""
_ALWAYS = {"weights": "█", "adapters": "▓", "optimiser": "▒", "device": "░"}
_OTHERS = "▞▤╳▚▥◇"
_COLOURS = ("$primary", "$accent", "$secondary", "$warning", "$success", "$error", "$primary")
_HARMLESS = ("ppo.micro_batch_size", "engine.")
"""How the changes begin after which the run has the same result."""

_VERDICTS = {
    "fits": ("✓ fits", "$success"),
    "tight": ("! tight", "$warning"),
    "too large": ("✗ does not fit", "$error"),
}


class PlanBar(Static):
    """Shows a memory plan, or why there is none."""

    DEFAULT_CSS = """
    PlanBar {
        height: auto;
        width: 100%;
        padding: 0 1;
        background: $surface;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__("", id=id, markup=False)
        self._plan: MemoryPlan | None = None
        self._words = ""
        self._shown = ""

    @property
    def plan(self) -> MemoryPlan | None:
        """The plan that is shown."""
        return self._plan

    def show_plan(self, plan: MemoryPlan) -> None:
        """Show a plan; nothing is painted if it is the same."""
        self._plan, self._words = plan, ""
        self._draw()

    def show_words(self, words: str) -> None:
        """Say why there is no plan."""
        self._plan, self._words = None, words
        self._draw()

    def on_resize(self, _: Resize) -> None:
        """Draw the bar as wide as there is room."""
        self._draw()

    def _draw(self) -> None:
        width = self.content_size.width
        if width < 1:
            return
        content = (
            literal(f"Memory: {self._words}")
            if self._plan is None
            else plan_content(self._plan, width)
        )
        if content.markup != self._shown:
            self._shown = content.markup
            self.update(content)


def plan_content(plan: MemoryPlan, width: int) -> Content:
    """The plan in lines of at most `width` columns.

    Verdict, bar, legend, how the run is carried out, and what would help.
    """
    from ppo_tui.plan.words import in_short

    parts = ordered(plan)
    lines = [_verdict(plan, width), _bar(plan, parts, width), *_legend(plan, parts, width)]
    chosen = Content(f"Chosen: {in_short(plan)}")
    if lines[0].cell_length + 2 + chosen.cell_length <= width:
        lines[0] = Content.assemble(lines[0], "  ", chosen)
    else:
        lines.append(chosen)
    suggestion = what_helps(plan)
    if suggestion is not None:
        lines.append(_advice(suggestion))
    return Content("\n").join(lines)


def ordered(plan: MemoryPlan) -> list[tuple[str, str, MemoryPart]]:
    """The parts at the peak with the fill and the colour of each."""
    others = iter(_OTHERS * 3)
    return [
        (_ALWAYS.get(part.name) or next(others), _COLOURS[index % len(_COLOURS)], part)
        for index, part in enumerate(plan.peak_parts)
    ]


def what_helps(plan: MemoryPlan) -> Suggestion | None:
    """The change to propose: one that makes it fit, if possible without another result.

    None where it fits, or nothing helps.
    """
    if plan.verdict not in ("tight", "too large") or not plan.suggestions:
        return None
    fitting = [one for one in plan.suggestions if one.verdict == "fits"]
    harmless = [one for one in fitting if one.setting.startswith(_HARMLESS)]
    return (harmless or fitting or list(plan.suggestions))[0]


def _verdict(plan: MemoryPlan, width: int) -> Content:
    from ppo_tui.text.figures import size

    device = {"cpu": "this computer's memory", "cuda": "the GPU", "mps": "the Apple GPU"}
    where = device[plan.device]
    allowed = " allowed" if plan.stated else ""
    if plan.budget is None:
        words = Content.assemble(
            ("? unknown", "bold"), f": it takes {size(plan.total)}; the size of {where} is not told"
        )
    else:
        name, colour = _VERDICTS[plan.verdict or "fits"]
        words = Content.assemble(
            (name, f"bold {colour}"),
            f": {size(plan.total)} of {size(plan.budget)}{allowed}, {where}",
        )
    ending = "; an estimate" if plan.estimated else ""
    whole = Content.assemble("Memory ", words, f" (peak: {plan.peak_phase}{ending})")
    if whole.cell_length <= width or plan.estimated:
        return whole
    return Content.assemble("Memory ", words)


def _bar(plan: MemoryPlan, parts: list[tuple[str, str, MemoryPart]], width: int) -> Content:
    whole = max(plan.total, plan.budget or 0, 1)
    pieces: list[tuple[str, str]] = []
    edge = done = 0
    before = 0
    for fill, colour, part in parts:
        done += part.bytes
        # Rounded ends, not rounded lengths: the pieces add up to the bar.
        end = round(width * done / whole)
        pieces.append((fill * (end - before), colour))
        before = end
    pieces.append((FREE * (width - before), "dim"))
    bar = Content.assemble(*pieces)
    if plan.budget is not None and plan.budget < plan.total:
        edge = min(width - 1, round(width * plan.budget / whole))
        bar = Content.assemble(bar[:edge], (EDGE, "bold"), bar[edge + 1 :])
    return bar


def _legend(
    plan: MemoryPlan, parts: list[tuple[str, str, MemoryPart]], width: int
) -> list[Content]:
    from ppo_tui.text.figures import size

    items = [
        Content.assemble((fill, colour), f" {part.name} {size(part.bytes)}")
        for fill, colour, part in parts
    ]
    if plan.budget is not None:
        left = plan.budget - plan.total
        items.append(
            Content.assemble((FREE, "dim"), f" free {size(left)}")
            if left >= 0
            else Content.assemble((EDGE, "bold"), f" {size(-left)} too much")
        )
    lines: list[Content] = []
    for item in items:
        if lines and lines[-1].cell_length + 2 + item.cell_length <= width:
            lines[-1] = Content.assemble(lines[-1], "  ", item)
        else:
            lines.append(item)
    return lines


def _advice(one: Suggestion) -> Content:
    from ppo_tui.text.figures import size

    then = {"fits": ", then it fits", "tight": ", then it is tight"}.get(one.verdict or "", "")
    return Content.assemble(
        ("f", "bold"),
        f" sets {one.setting} to {one.value}: saves {size(one.saves)}{then}. {one.explanation}",
    )
