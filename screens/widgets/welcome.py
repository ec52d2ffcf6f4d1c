"""What stands in the place of the list where there is no run yet: the first thing one reads."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content

from ppo_tui.runs.paths import shown

from ..literal import literal

_WORDS = (
    "PPO teaches a language model: it writes, a reward scores what it wrote, and it moves towards "
    "what was rewarded, not too far from the model it was. The demo shows all of it with a small "
    "model that comes with ppo-tui, in about a minute, on any computer.\n"
)


def welcome(root: Path, busy: str = "") -> Content:
    """The invitation, with the keys that begin something.

    Args:
        root: Where runs will be kept.
        busy: What is being begun already; it takes the place of the first key.
    """
    first = f"   {busy}" if busy else "   enter or d   start the demo"
    parts = [
        Content.styled("There are no runs yet.\n", "bold"),
        Content(_WORDS),
        Content.styled(first, "bold"),
        Content("   t            your taste: rate what it writes, 1 to 5, and it follows"),
        Content("   n            a run of your own: model, preset, settings"),
        Content("   ?            help\n"),
        literal(f"Runs are kept in {shown(root)}", "$foreground-muted"),
    ]
    return Content("\n").join(parts)
