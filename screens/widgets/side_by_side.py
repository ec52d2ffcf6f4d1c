"""What differs between runs, as tables for a given width: settings, numbers, answers.

Columns stand side by side where each has room to be read; in a narrower place each run gets a line
of its own under the row's name. All foreign text is literal.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ppo_tui.runs.answers import Answer
from ppo_tui.runs.comparison import Comparison, SamePrompt
from ppo_tui.text.figures import ABSENT, number
from ppo_tui.text.plain import plain

NARROWEST_CELL = 11
NARROWEST_ANSWER = 24
LONGEST = 2000
"""More characters of one text than this are not shown; the run's own screen has the whole."""

_TITLE_CELLS = 30


def settings_table(compared: Comparison, width: int) -> RenderableType:
    """The settings in which the runs differ."""
    problems = [
        Text(f"{numbered(index, name)}: {foreign(problem)}", style="bold")
        for index, (name, problem) in enumerate(zip(compared.names, compared.problems, strict=True))
        if problem
    ]
    if not compared.settings:
        return Group(*problems, Text("Their settings do not differ."))
    rows = [
        (
            setting.key,
            [
                Text.assemble(
                    foreign(value.text) if value.text else ABSENT,
                    (" (default)" if value.is_default else "", "$foreground-muted"),
                )
                for value in setting.values
            ],
        )
        for setting in compared.settings
    ]
    return Group(*problems, _table(compared.names, rows, width))


def figures_table(compared: Comparison, width: int) -> RenderableType:
    """The numbers of the last step and of the last evaluation."""
    if not compared.figures:
        return Text("None of them has done a step yet.")
    rows = [
        (figures.name, [Text(number(value)) for value in figures.values])
        for figures in compared.figures
    ]
    return _table(compared.names, rows, width)


def answers_table(compared: Comparison, width: int) -> RenderableType:
    """The answers to the same prompts."""
    if not compared.prompts:
        return Text(
            "They have answered no prompt in common yet. A run answers its watched prompts as it "
            "goes on, and those of its evaluation when it comes to that."
        )
    parts: list[RenderableType] = []
    for same in compared.prompts:
        parts.append(Text(foreign(same.prompt), style="bold underline"))
        parts.append(Padding(_answers(compared.names, same, width), (0, 0, 1, 0)))
    return Group(*parts)


def numbered(index: int, name: str, room: int = LONGEST) -> str:
    """A run's name behind its number, by which the chart knows it, in `room` cells.

    The end of a long name is kept: names begin alike more often than they end alike.
    """
    number_, name = str(index + 1), foreign(name)
    left = room - len(number_) - 1
    if cell_len(name) <= left:
        return f"{number_} {name}"
    kept, used = "", 0
    for char in reversed(name):
        used += cell_len(char)
        if used > left - 1:
            break
        kept = char + kept
    return f"{number_} …{kept}" if kept else number_


def foreign(text: str) -> str:
    """A text that ppo-tui did not write, harmless and of a length that can be laid out."""
    rest = f"… ({len(text):,} characters)" if len(text) > LONGEST else ""
    return plain(text[:LONGEST]).strip() + rest


def _table(names: Sequence[str], rows: Sequence[tuple[str, list[Text]]], width: int) -> Table:
    title = min(_TITLE_CELLS, width // 3, max(len(key) for key, _ in rows))
    cell = (width - title) // len(names) - 2
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    if cell >= NARROWEST_CELL:
        table.add_column("", width=title, overflow="fold")
        for index, name in enumerate(names):
            table.add_column(Text(numbered(index, name, cell)), width=cell, overflow="fold")
        for key, values in rows:
            table.add_row(Text(foreign(key)), *values)
        return table
    table.show_header = False
    left = min(26, max(10, width // 3))
    table.add_column("", overflow="fold", width=left)
    table.add_column("", overflow="fold")
    for key, values in rows:
        table.add_row(Text(foreign(key), style="bold"))
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            table.add_row(Text(numbered(index, name, left)), value)
    return table


def _answers(names: Sequence[str], same: SamePrompt, width: int) -> Table:
    base = same.common_base
    given: list[tuple[str, int, str, Answer | None]] = []
    if base is not None:
        given.append(("base", -1, "", base))
    else:
        given += [
            ("base of ", index, name, answer)
            for index, (name, answer) in enumerate(zip(names, same.bases, strict=True))
            if answer is not None
        ]
    given += [
        ("", index, name, answer)
        for index, (name, answer) in enumerate(zip(names, same.tuned, strict=True))
    ]
    cell = width // len(given) - 2
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False
    )
    beside = cell >= NARROWEST_ANSWER
    headings = [_heading(*item, cell if beside else width - 2) for item in given]
    words = [_words(answer) for *_, answer in given]
    if beside:
        for _ in given:
            table.add_column("", width=cell, overflow="fold")
        table.add_row(*headings)
        table.add_row(*words)
        return table
    table.add_column("", overflow="fold")
    for heading, text in zip(headings, words, strict=True):
        table.add_row(heading)
        table.add_row(Padding(text, (0, 0, 0, 2)))
    return table


def _heading(who: str, index: int, name: str, answer: Answer | None, room: int) -> Text:
    said = ""
    if answer is not None:
        said = f" · {number(answer.score)}" + (f" · step {answer.step}" if answer.step else "")
    if index >= 0:
        who += numbered(index, name, max(4, room - len(who) - len(said)))
    return Text(who + said, style="dim")


def _words(answer: Answer | None) -> Text:
    return Text(ABSENT if answer is None else foreign(answer.response) or "(nothing)")
