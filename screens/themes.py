"""The app's four themes, and how the lines of a chart are told apart.

For the app and the charts. Each theme sets every text colour itself instead of letting Textual mix
it, because the contrasts are tested: 4.5:1 for all text, 7:1 in the high-contrast theme. In the
colour-blind theme good, warned and bad differ in lightness and along blue and orange, the axis that
almost everybody sees. Colour alone never says anything: lines differ by their dashes as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter, Monochrome
from textual.theme import Theme

from ppo_tui.config.settings import COLOUR_BLIND, DARK, HIGH_CONTRAST, LIGHT

if TYPE_CHECKING:
    from textual.app import App

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        DARK: "dark",
        LIGHT: "light",
        COLOUR_BLIND: "dark, safe for colour-blind eyes",
        HIGH_CONTRAST: "high contrast, on black",
    }
)
"""What a theme is called where its name would not say enough."""


@dataclass(frozen=True)
class SeriesStyle:
    """How one line of a chart is drawn, so that it is known by its colour and without it.

    Attributes:
        variable: The theme variable with its colour, without the dollar sign.
        dashes: Dots drawn, dots left out, and so on, over and over; empty is a solid line.
        sample: The line in three cells, for a legend.
        mark: One cell that names the line where there is no room for a sample.
    """

    variable: str
    dashes: tuple[int, ...]
    sample: str
    mark: str


SERIES: Final = (
    SeriesStyle("series-1", (), "━━━", "●"),
    SeriesStyle("series-2", (4, 2), "╍╍╍", "■"),
    SeriesStyle("series-3", (1, 2), "┅┅┅", "▲"),
    SeriesStyle("series-4", (6, 2, 1, 2), "━┅━", "◆"),
    SeriesStyle("series-5", (2, 2), "┉┉┉", "▼"),
    SeriesStyle("series-6", (8, 3), "━╸━", "○"),
    SeriesStyle("series-7", (1, 4), "· ·", "□"),
    SeriesStyle("series-8", (4, 2, 1, 2, 1, 2), "━┉┉", "△"),
)
"""The lines of a chart in their order; the ninth looks like the first."""


def _variables(series: tuple[str, ...], **others: str) -> dict[str, str]:
    numbered = {f"series-{number}": colour for number, colour in enumerate(series, start=1)}
    return numbered | {name.replace("_", "-"): value for name, value in others.items()}


def _theme(
    name: str,
    *,
    dark: bool,
    ground: tuple[str, str, str],
    boost: str,
    foreground: str,
    on_colour: str,
    cursor_elsewhere: str,
    muted: str,
    muted_here: str,
    faint: str,
    primary: str,
    secondary: str,
    accent: str,
    success: str,
    warning: str,
    error: str,
    series: tuple[str, ...],
    **others: str,
) -> Theme:
    """A theme from its few colours.

    Args:
        name: Its name.
        dark: Whether the ground is dark.
        ground: The colours behind text: background, surface, panel.
        boost: Laid over the ground to lift a part of it.
        foreground: Text.
        on_colour: Text on primary, success, warning, error and accent.
        cursor_elsewhere: Behind the row under the cursor of what is not in focus; opaque, because
            widgets that draw cell by cell cannot blend.
        muted: Text that matters less, on any ground; still to be read.
        muted_here: The same as a colour of its own, for widgets that draw cell by cell and cannot
            mix one with their ground: `$foreground-muted`.
        faint: What an empty field suggests, and what cannot be used now.
        primary: What can be acted on, and where the cursor is.
        secondary: Beside it.
        accent: Keys.
        success: Good.
        warning: To be looked at.
        error: Bad.
        series: The lines of a chart.
        **others: Further theme variables.
    """
    background, surface, panel = ground
    variables = _variables(
        series,
        text_muted=muted,
        text_disabled=faint,
        foreground_muted=muted_here,
        block_cursor_foreground=on_colour,
        block_cursor_blurred_foreground=foreground,
        block_cursor_blurred_background=cursor_elsewhere,
        button_color_foreground=on_colour,
        button_foreground=foreground,
        border_blurred=secondary,
        footer_background=panel,
        text_primary=primary,
        text_secondary=secondary,
        text_accent=accent,
        text_success=success,
        text_warning=warning,
        text_error=error,
    )
    return Theme(
        name,
        primary=primary,
        secondary=secondary,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        foreground=foreground,
        background=background,
        surface=surface,
        panel=panel,
        boost=boost,
        dark=dark,
        variables=variables | _variables((), **others),
    )


THEMES: Final = (
    _theme(
        DARK,
        dark=True,
        ground=("#0f1217", "#161a21", "#202632"),
        boost="#ffffff0d",
        foreground="#e4e7ed",
        on_colour="#0b0d11",
        cursor_elsewhere="#2b435d",
        muted="auto 72%",
        muted_here="#aab0bb",
        faint="auto 62%",
        primary="#6cb4ff",
        secondary="#92a3bd",
        accent="#d6a8ff",
        success="#5fd38d",
        warning="#f0c14b",
        error="#ff8078",
        series=(
            "#6cb4ff",
            "#ffa657",
            "#5fd38d",
            "#d6a8ff",
            "#f0d25a",
            "#ff8ea6",
            "#5ad7d0",
            "#c0c7d3",
        ),
    ),
    _theme(
        LIGHT,
        dark=False,
        ground=("#fbfbfc", "#f1f3f6", "#e4e8ee"),
        boost="#0000000a",
        foreground="#1b1f24",
        on_colour="#ffffff",
        cursor_elsewhere="#b3c7e3",
        muted="auto 75%",
        muted_here="#4a525c",
        faint="auto 65%",
        primary="#0a4fa8",
        secondary="#4a5a72",
        accent="#6f2da8",
        success="#0f6330",
        warning="#7a4a00",
        error="#a8121c",
        series=(
            "#0a4fa8",
            "#93400a",
            "#0f6330",
            "#6f2da8",
            "#655000",
            "#a3164f",
            "#005f6b",
            "#444c56",
        ),
    ),
    _theme(
        COLOUR_BLIND,
        dark=True,
        ground=("#0f1217", "#161a21", "#202632"),
        boost="#ffffff0d",
        foreground="#e9ebef",
        on_colour="#0b0d11",
        cursor_elsewhere="#3d445d",
        muted="auto 75%",
        muted_here="#b0b6c1",
        faint="auto 65%",
        primary="#a9b8ff",
        secondary="#9aa7ba",
        accent="#e3b7d3",
        success="#86ccf8",
        warning="#f6f48d",
        error="#ec761b",
        series=(
            "#56b4e9",
            "#ff8f0c",
            "#f5f475",
            "#aa8a9c",
            "#2aa968",
            "#f77332",
            "#e3e8f2",
            "#b2abc9",
        ),
    ),
    _theme(
        HIGH_CONTRAST,
        dark=True,
        ground=("#000000", "#000000", "#141414"),
        boost="#ffffff0d",
        foreground="#ffffff",
        on_colour="#000000",
        cursor_elsewhere="#333333",
        muted="auto 90%",
        muted_here="#dcdcdc",
        faint="auto 75%",
        primary="#7cc7ff",
        secondary="#d0d0d0",
        accent="#ffd60a",
        success="#5cff8f",
        warning="#ffe45c",
        error="#ff9c9c",
        series=(
            "#7cc7ff",
            "#ffb454",
            "#5cff8f",
            "#f0b0ff",
            "#ffee58",
            "#ff9c9c",
            "#66ffff",
            "#ffffff",
        ),
        border="#ffffff",
        border_blurred="#b0b0b0",
        scrollbar="#b0b0b0",
        scrollbar_background="#000000",
        input_selection_background="#00509e",
    ),
)
"""The themes in the order in which they are offered."""

VARIABLE_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {style.variable: THEMES[0].variables[style.variable] for style in SERIES}
)
"""Of the variables that only these themes have; for `App.get_theme_variable_defaults`."""


class Colourless(Monochrome):
    """Textual's filter for `NO_COLOR`, which breaks on a segment that has no style at all."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments in shades of grey."""
        return super().apply([Segment(s.text, s.style or _NO_STYLE) for s in segments], background)


_NO_STYLE: Final = Style()
_COLOURLESS: Final = Colourless()


def tolerant(filters: Sequence[LineFilter]) -> list[LineFilter]:
    """An app's filters, with one for `NO_COLOR` that can take every segment."""
    return [_COLOURLESS if isinstance(found, Monochrome) else found for found in filters]


def series_color(app: App[Any], variable: str) -> str:
    """The colour of a chart's line in the theme that is worn."""
    return app.current_theme.variables.get(variable, VARIABLE_DEFAULTS[variable])


def register(app: App[Any]) -> None:
    """Make the themes known to the app."""
    for theme in THEMES:
        app.register_theme(theme)
