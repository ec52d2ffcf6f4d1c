"""A prompt and its response, the response token by token where that was recorded.

Each token is shaded by one of its numbers, in colour and, for whoever sees none, by a mark under
it: ▁▃▅▇ rises with the number from the line below, ▔▀ hangs from the text where it is below 0.
Rows are made once a width; only those in view are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ppo_tui.runs.records import Sample, TokenRecord
from ppo_tui.text.plain import LINE_END, plain

Shade = Literal["kl", "advantage", "value", "none"]

SHADES: tuple[Shade, ...] = ("kl", "advantage", "value", "none")

UP, DOWN = " ▁▃▅▇", " ▔▔▀▀"
LEVELS = 4

LONG = 20_000
"""Characters beyond which lines are broken anywhere, because looking for words takes too long."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a row: its text in cells, and which token it is of (-1: of none)."""

    text: str
    token: int = -1
    heading: bool = False


Row = tuple[Piece, ...]


class TokenText(ScrollView, can_focus=True):
    """The prompt and the response.

    Attributes:
        shade: The number by which tokens are shaded.
    """

    HELP = """
A prompt and what the model answered. Where the sample was recorded token by token, `←` and `→` go
from token to token and the line below tells its numbers; `b` changes what tokens are shaded by: KL
to the base model, advantage, value, or nothing. `y` copies the response.
"""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "token-text--heading",
        "token-text--cursor",
        "token-text--cursor-blurred",
        "token-text--up",
        "token-text--down",
        "token-text--up-strong",
        "token-text--down-strong",
    }

    DEFAULT_CSS = """
    TokenText { height: 1fr; width: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }
    TokenText > .token-text--heading { color: $foreground-muted; }
    TokenText > .token-text--cursor {
        background: $block-cursor-background;
        color: $block-cursor-foreground;
        text-style: bold;
    }
    TokenText > .token-text--cursor-blurred { text-style: reverse; }
    TokenText > .token-text--up { color: $text-warning; }
    TokenText > .token-text--up-strong { color: $text-warning; text-style: bold underline; }
    TokenText > .token-text--down { color: $text-primary; }
    TokenText > .token-text--down-strong { color: $text-primary; text-style: bold underline; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "token(-1)", "Token", id="sample.token_before", show=False,
                tooltip="The token before"),
        Binding("right", "token(1)", "Token", id="sample.token_after", tooltip="The next token"),
        Binding("home", "token(-1000000)", "First", id="sample.token_first", show=False,
                tooltip="The first token"),
        Binding("end", "token(1000000)", "Last", id="sample.token_last", show=False,
                tooltip="The last token"),
        Binding("b", "shade", "Shade", id="sample.shade",
                tooltip="Shade the tokens by KL, advantage, value, or nothing"),
        Binding("y", "copy", "Copy", id="sample.copy", tooltip="Copy the response"),
    ]  # fmt: skip

    class Pointed(Message):
        """The cursor is on another token, or tokens are shaded by another number."""

        def __init__(self, shade: Shade, token: int | None) -> None:
            super().__init__()
            self.shade = shade
            self.token = token

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.shade: Shade = "kl"
        self._sample: Sample | None = None
        self._levels: list[int] = []
        self._rows: list[Row] = []
        self._row_of: dict[int, int] = {}
        self._token = 0
        self._width = 0

    # ---- what is shown

    @property
    def tokens(self) -> Sequence[TokenRecord]:
        """The tokens of the response; none if they were not recorded."""
        return self._sample.tokens or () if self._sample is not None else ()

    @property
    def token(self) -> int | None:
        """The token under the cursor."""
        return self._token if self.tokens else None

    def show(self, sample: Sample) -> None:
        """Show a sample from its beginning."""
        self._sample, self._token = sample, 0
        self._grade()
        self._lay_out()
        self.scroll_to(y=0, animate=False)
        self.post_message(self.Pointed(self.shade, self.token))

    def move_to(self, token: int) -> None:
        """Put the cursor on a token."""
        if not self.tokens:
            return
        token = max(0, min(token, len(self.tokens) - 1))
        if token != self._token:
            self._token = token
            self._keep_in_view()
            self.refresh()
            self.post_message(self.Pointed(self.shade, self._token))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without tokens there is nothing to go through and nothing to shade."""
        if action in ("token", "shade"):
            return True if self.tokens else None
        return True

    def action_token(self, by: int) -> None:
        """Go through the tokens."""
        self.move_to(self._token + by)

    def action_shade(self) -> None:
        """Shade by the next number."""
        self.shade = SHADES[(SHADES.index(self.shade) + 1) % len(SHADES)]
        self._grade()
        self._lay_out()
        self._keep_in_view()
        self.post_message(self.Pointed(self.shade, self.token))

    def action_copy(self) -> None:
        """Copy the response to the clipboard, where the terminal lets it."""
        if self._sample is not None:
            self.app.copy_to_clipboard(self._sample.response)
            self.notify("Copied, where the terminal allows it.", timeout=3, markup=False)

    def on_click(self, event: events.Click) -> None:
        """A click points at a token."""
        row = event.y + round(self.scroll_y)
        edge = 0
        for piece in self._rows[row] if row < len(self._rows) else ():
            edge += cell_len(piece.text)
            if event.x < edge:
                if piece.token >= 0:
                    self.move_to(piece.token)
                return

    def _grade(self) -> None:
        numbers = [number_of(token, self.shade) for token in self.tokens]
        self._levels = levels(numbers, relative=self.shade == "value")

    def _keep_in_view(self) -> None:
        row = self._row_of.get(self._token, 0)
        top, height = round(self.scroll_y), max(2, self.size.height)
        if row < top:
            self.scroll_to(y=row, animate=False)
        elif row + 1 >= top + height:
            self.scroll_to(y=row + 2 - height, animate=False)

    # ---- layout

    def on_resize(self) -> None:
        """Break the lines for another width."""
        if self.outer_size.width - 1 != self._width:
            self._lay_out()
            self._keep_in_view()

    def _lay_out(self) -> None:
        # The scrollbar's column is always left free, so that it may come and go.
        self._width = width = self.outer_size.width - 1
        sample = self._sample
        if sample is None or width <= 0:
            return
        rows: list[Row] = [(Piece("prompt", heading=True),)]
        rows += ((Piece(line),) for line in wrapped(sample.prompt, width))
        rows += [(), (Piece("response", heading=True),)]
        self._row_of = {}
        if self.tokens:
            for row in _token_rows([shown(token.text) for token in self.tokens], width):
                for piece in row:
                    self._row_of.setdefault(piece.token, len(rows))
                rows.append(row)
                if self.shade != "none":
                    rows.append(self._marks(row))
        else:
            text = sample.response or "(nothing)"
            rows += ((Piece(line),) for line in wrapped(text, width))
        self._rows = rows
        self.virtual_size = Size(width, len(rows))
        self.refresh()

    def _marks(self, row: Row) -> Row:
        """What stands under a row of tokens."""
        return tuple(
            Piece(_mark(self._levels[piece.token]) * cell_len(piece.text), -2 - piece.token)
            for piece in row
        )

    # ---- drawing

    def on_focus(self) -> None:
        """The cursor says whether keys go to the text."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor says whether keys go to the text."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row."""
        width, row = self.size.width, y + round(self.scroll_y)
        base = self.rich_style
        if row >= len(self._rows):
            return Strip.blank(width, base)
        segments = [Segment(piece.text, self._style_of(piece, base)) for piece in self._rows[row]]
        return Strip(segments).adjust_cell_length(width, base)

    def _style_of(self, piece: Piece, base: Style) -> Style:
        if piece.heading:
            return base + self._style("heading")
        if piece.token == -1:
            return base
        token = piece.token if piece.token >= 0 else -2 - piece.token
        if piece.token == self._token:
            return base + self._style("cursor" if self.has_focus else "cursor-blurred")
        level = self._levels[token] if self._levels else 0
        if not level:
            return base
        strong = "-strong" if abs(level) == LEVELS and piece.token >= 0 else ""
        return base + self._style(("up" if level > 0 else "down") + strong)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"token-text--{name}", partial=True)


def number_of(token: TokenRecord, shade: Shade) -> float:
    """The number of a token that it is shaded by; NaN for none."""
    match shade:
        case "kl":
            return token.logprob - token.ref_logprob
        case "advantage":
            return token.advantage
        case "value":
            return token.value
        case _:
            return math.nan


def levels(numbers: Sequence[float], *, relative: bool = False) -> list[int]:
    """How strongly each number shows, from -4 to 4; 0 for what is 0 or no number.

    Args:
        numbers: One a token.
        relative: From the lowest (1) to the highest (4), instead of from 0 both ways.
    """
    known = [value for value in numbers if math.isfinite(value)]
    if not known:
        return [0] * len(numbers)
    low, high = min(known), max(known)
    most = max(abs(low), abs(high))

    def level(value: float) -> int:
        if not math.isfinite(value) or (not relative and (not value or not most)):
            return 0
        if relative:
            if not high > low:
                return 1
            # Scaled first, so that no difference is beyond all numbers.
            share = (value / most - low / most) / (high / most - low / most)
            return 1 + round((LEVELS - 1) * share)
        # Rounded up only from a tenth of the most: what is next to nothing shows nothing.
        share = abs(value) / most
        return int(math.copysign(math.ceil(share * LEVELS), value)) if share >= 0.1 else 0

    return [level(value) for value in numbers]


def shown(text: str) -> str:
    """A token as it is drawn: harmless, never without a width."""
    text = plain(text).replace("\t", "    ")
    if not text:
        return "▯"
    return text if cell_len(text) else f"◌{text}"


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` cells, broken between words where it is not too long."""
    text = plain(text, lines=True).replace("\t", "    ")
    lines = []
    for line in text.split("\n"):
        if len(line) <= width and cell_len(line) <= width:
            lines.append(line)
        elif len(text) > LONG:
            # No character is wider than two cells.
            step = max(1, width if line.isascii() else width // 2)
            lines += [line[at : at + step] for at in range(0, len(line), step)]
        else:
            lines += _by_words(line, width)
    return lines


def _by_words(line: str, width: int) -> Iterator[str]:
    current = ""
    for word in line.split(" "):
        longer = f"{current} {word}" if current else word
        if cell_len(longer) <= width:
            current = longer
            continue
        if current:
            yield current
        *whole, current = chop_cells(word, width) or [""]
        yield from whole
    yield current


def _token_rows(tokens: Sequence[str], width: int) -> Iterator[Row]:
    """The tokens in rows; words stay together where they fit, a line end ends a row."""
    row: list[Piece] = []
    used = 0
    for word in _words(tokens):
        length = sum(cell_len(piece.text) for piece in word)
        if used + length > width and row:
            yield tuple(row)
            row, used = [], 0
        for piece in word:
            for part in chop_cells(piece.text, width):
                cells = cell_len(part)
                if used + cells > width and row:
                    yield tuple(row)
                    row, used = [], 0
                row.append(Piece(part, piece.token))
                used += cells
        if word[-1].text.endswith(LINE_END):
            yield tuple(row)
            row, used = [], 0
    if row:
        yield tuple(row)


def _words(tokens: Sequence[str]) -> Iterator[list[Piece]]:
    """Tokens that belong together: from one with a space before it to the next."""
    word: list[Piece] = []
    for index, text in enumerate(tokens):
        if word and (text.startswith(" ") or word[-1].text.endswith(LINE_END)):
            yield word
            word = []
        word.append(Piece(text, index))
    if word:
        yield word


def _mark(level: int) -> str:
    return UP[level] if level >= 0 else DOWN[-level]
