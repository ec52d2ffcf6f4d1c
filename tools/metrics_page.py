"""`make docs`: `docs/metrics.md`, every number of a run explained, from the app's own glossary."""

from __future__ import annotations

from pathlib import Path

from ppo_tui.text.metrics import EXPLANATIONS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"

HEAD = """\
# The numbers of a run

Every metric that a run records in `events.jsonl`, what it is, and what it looks like when all is
well. The app says the same on `?` over a chart. How each is computed stands in
[algorithm.md](algorithm.md) and in `ppo_tui/training/metrics.py`.

Made by `make docs` from `ppo_tui/text/metrics.py`.
"""


def page() -> str:
    """The page as Markdown, one section a group of metrics."""
    parts = [HEAD]
    group = ""
    for name, about in EXPLANATIONS.items():
        own = name.partition("/")[0]
        if own != group:
            group = own
            parts.append(f"## {group}/\n")
        parts.append(f"**`{name}`**, {about.title}. {about.words}\n")
        parts.append(f"*When all is well:* {about.healthy}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
