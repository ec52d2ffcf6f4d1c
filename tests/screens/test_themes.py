"""The themes: contrasts as WCAG computes them, and colours as colour-blind eyes see them."""

import itertools
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget
from textual.widgets import Static

from ppo_tui.config import settings
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.base import PpoScreen
from ppo_tui.screens.settings import SettingsScreen
from ppo_tui.screens.themes import SERIES, THEMES, VARIABLE_DEFAULTS, WORDS, register

GROUNDS = ("background", "surface", "panel")
ROLES = ("primary", "secondary", "accent", "success", "warning", "error")

# Machado, Oliveira and Fernandes 2009, full severity, on linear RGB.
SIGHT = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}

every_theme = pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)


def linear(color: Color) -> tuple[float, float, float]:
    def of(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    return of(color.r), of(color.g), of(color.b)


def luminance(color: Color) -> float:
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(text: Color, ground: Color) -> float:
    lighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lab(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (min(1.0, max(0.0, channel)) for channel in rgb)
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(color: Color, sight: str) -> tuple[float, float, float]:
    if sight == "full":
        return lab(linear(color))
    rgb = linear(color)
    red, green, blue = (sum(a * b for a, b in zip(row, rgb, strict=True)) for row in SIGHT[sight])
    return lab((red, green, blue))


def distance(one: Color, other: Color, sight: str) -> float:
    pairs = zip(seen(one, sight), seen(other, sight), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


def variables_of(theme: Theme) -> dict[str, str]:
    return {**theme.to_color_system().generate(), **theme.variables}


def laid_on(text: str, ground: Color) -> Color:
    """A colour of the style sheet as it comes out on a ground; `auto 72%` is mixed from it."""
    if text.startswith("auto"):
        return ground + ground.get_contrast_text(float(text.split()[1].rstrip("%")) / 100)
    return ground + Color.parse(text)


def grounds_of(theme: Theme) -> dict[str, Color]:
    variables = variables_of(theme)
    plain = {name: Color.parse(variables[name]) for name in GROUNDS}
    boost = Color.parse(variables["boost"])
    return plain | {f"boost on {name}": ground + boost for name, ground in plain.items()}


def wanted(theme: Theme) -> float:
    return 7.0 if theme.name == "ppo-high-contrast" else 4.5


def test_the_themes_are_the_ones_that_settings_offer() -> None:
    names = [theme.name for theme in THEMES]
    assert names == ["ppo-dark", "ppo-light", "ppo-colour-blind", "ppo-high-contrast"]
    assert tuple(names) == settings.THEMES
    assert set(WORDS) == set(names)


@every_theme
@pytest.mark.parametrize(
    "name",
    [
        "foreground",
        "foreground-muted",
        "text",
        "text-muted",
        "text-disabled",
        *ROLES,
        *(f"text-{role}" for role in ROLES),
        *(style.variable for style in SERIES),
        "button-foreground",
        "footer-foreground",
        "footer-key-foreground",
        "footer-description-foreground",
        "link-color",
        *(f"markdown-h{level}-color" for level in range(1, 7)),
    ],
)
def test_text_is_readable_on_every_ground(theme: Theme, name: str) -> None:
    text = variables_of(theme)[name]
    worst = min(contrast(laid_on(text, on), on) for on in grounds_of(theme).values())
    assert worst >= wanted(theme)


@every_theme
@pytest.mark.parametrize("role", ROLES)
def test_text_is_readable_on_a_button_of_each_colour(theme: Theme, role: str) -> None:
    variables = variables_of(theme)
    ground = Color.parse(variables[role])
    for name in ("button-color-foreground", "block-cursor-foreground", "text"):
        assert contrast(laid_on(variables[name], ground), ground) >= wanted(theme)


@every_theme
def test_the_row_under_the_cursor_is_readable(theme: Theme) -> None:
    variables = variables_of(theme)
    pairs = {
        "block-cursor-foreground": "block-cursor-background",
        "block-cursor-blurred-foreground": "block-cursor-blurred-background",
        "input-cursor-foreground": "input-cursor-background",
        "input-selection-foreground": "input-selection-background",
    }
    for ground in grounds_of(theme).values():
        for text, behind in pairs.items():
            under = ground + Color.parse(variables[behind])
            assert contrast(laid_on(variables[text], under), under) >= wanted(theme), behind


@every_theme
def test_the_border_of_the_focused_widget_stands_out(theme: Theme) -> None:
    border = Color.parse(variables_of(theme)["border"])
    assert min(contrast(border, on) for on in grounds_of(theme).values()) >= 4.5


@pytest.mark.parametrize("sight", ["full", *SIGHT])
def test_colour_blind_eyes_tell_good_warned_and_bad_apart(sight: str) -> None:
    theme = THEMES[2]
    states = [Color.parse(getattr(theme, role)) for role in ("success", "warning", "error")]
    for one, other in itertools.combinations(states, 2):
        assert distance(one, other, sight) >= 25
        assert abs(seen(one, sight)[0] - seen(other, sight)[0]) >= 8


@pytest.mark.parametrize("sight", ["full", *SIGHT])
def test_colour_blind_eyes_tell_the_first_lines_of_a_chart_apart(sight: str) -> None:
    colours = [Color.parse(THEMES[2].variables[style.variable]) for style in SERIES]
    for one, other in itertools.combinations(colours[:4], 2):
        assert distance(one, other, sight) >= 20
    for one, other in itertools.combinations(colours, 2):
        assert distance(one, other, sight) >= 8


@every_theme
def test_no_two_lines_of_a_chart_have_one_colour(theme: Theme) -> None:
    colours = [Color.parse(theme.variables[style.variable]) for style in SERIES]
    for one, other in itertools.combinations(colours, 2):
        assert distance(one, other, "full") >= 12


def test_lines_differ_without_any_colour() -> None:
    for attribute in ("dashes", "sample", "mark"):
        assert len({getattr(style, attribute) for style in SERIES}) == 8
    assert all(len(style.sample) == 3 and len(style.mark) == 1 for style in SERIES)


class Host(App[None]):
    CSS = "Static { color: $series-3; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        register(self)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(VARIABLE_DEFAULTS)

    def compose(self) -> ComposeResult:
        yield Static("a line", markup=False)


async def test_an_app_follows_a_change_of_theme() -> None:
    app = Host()
    async with app.run_test() as pilot:
        line = app.query_one(Static)
        for theme in THEMES:
            app.theme = theme.name
            await pilot.pause()
            assert line.styles.color == Color.parse(theme.variables["series-3"])
            assert line.styles.background == Color.parse(theme.surface or "")


class SettingsHost(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def open_home(self) -> None:
        self.push_screen(SettingsScreen(lambda: ()))


@every_theme
async def test_what_is_painted_is_readable(theme: Theme) -> None:
    app = SettingsHost()
    async with app.run_test(size=(100, 30)) as pilot:
        app.use_settings(settings.AppSettings(theme=theme.name))
        await app.workers.wait_for_complete()
        await pilot.pause()
        # The last line holds keys that cannot be used now, and are meant to step back.
        strips = app.screen._compositor.render_strips()[:-1]
    painted = {}
    for strip in strips:
        for segment in strip:
            if any(char.isalnum() for char in segment.text):
                assert segment.style is not None
                assert segment.style.color is not None
                assert segment.style.bgcolor is not None
                text, ground = (
                    Color(*colour.get_truecolor())
                    for colour in (segment.style.color, segment.style.bgcolor)
                )
                painted[segment.text.strip()] = contrast(text, ground)
    assert "Looks and sounds" in painted
    assert {text: value for text, value in painted.items() if value < wanted(theme)} == {}


class Bare(Widget):
    """Draws cells that have no style of their own, as `Strip.blank` makes them."""

    def render_line(self, y: int) -> Strip:
        return Strip([Segment("bare"), Segment("coloured", Style(color="red"))])


class BareHost(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def open_home(self) -> None:
        self.push_screen(BareScreen())


class BareScreen(PpoScreen[None]):
    def compose_body(self) -> ComposeResult:
        yield Bare()


async def test_with_no_color_cells_without_a_style_are_drawn_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = BareHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
    cells = [segment for strip in strips for segment in strip if segment.text == "coloured"]
    assert any("bare" in strip.text for strip in strips)
    assert cells
    for cell in cells:
        assert cell.style is not None
        assert cell.style.color is not None
        red, green, blue = cell.style.color.get_truecolor()
        assert red == green == blue


async def test_with_no_color_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host()
    async with app.run_test() as pilot:
        app.theme = "ppo-colour-blind"
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        styles = [
            segment.style
            for strip in strips
            for filter_ in app.get_line_filters()
            for segment in filter_.apply(list(strip), Color.parse("#000000"))
            if segment.style and segment.style.color and segment.style.color.triplet
        ]
        triplets = {style.color.triplet for style in styles if style.color}
        assert triplets
        assert all(red == green == blue for red, green, blue in triplets if triplets)
