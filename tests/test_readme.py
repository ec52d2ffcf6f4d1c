"""Every command and every file in the README, and in the page on taste, is one that works."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from ppo_tui.config.resolve import parse_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TASTE = (ROOT / "docs" / "taste.md").read_text(encoding="utf-8")


def commands(text: str = README) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_it_has_the_two_set_up_commands() -> None:
    assert {"make demo", "make test"} <= set(commands())


@pytest.mark.parametrize(
    "command", [c for c in (*commands(), *commands(TASTE)) if c.startswith("ppo-tui")]
)
def test_a_command_of_the_readme_is_understood(command: str) -> None:
    from ppo_tui.cli.entry import app

    words = shlex.split(command.partition(">")[0])[1:]
    group = typer.main.get_command(app)
    context = group.make_context("ppo-tui", words, resilient_parsing=False)
    while hasattr(group, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:  # the app
            return
        _, group, rest = group.resolve_command(context, rest)
        # Parses without running; a word or option that is not known raises.
        context = group.make_context(group.name or "", rest, parent=context)


@pytest.mark.parametrize("target", [c.split()[1] for c in commands() if c.startswith("make ")])
def test_a_make_target_of_the_readme_exists(target: str) -> None:
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}:.*## ", makefile, re.MULTILINE)


def test_the_configuration_in_the_readme_is_valid() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    config = parse_config(text, "README.md")
    assert [term.label for term in config.reward.terms] == ["sentiment", "length", "python"]


def test_the_configuration_in_the_page_on_taste_is_valid() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", TASTE, re.DOTALL)
    config = parse_config(text, "taste.md")
    assert [term.label for term in config.reward.terms] == ["human"]
    assert config.ratings.use == ("runs/earlier",)
    commented = "\n".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    terms = parse_config(commented, "taste.md").reward.terms
    assert [term.label for term in terms] == ["human", "repetition"]


def test_the_reward_function_in_the_readme_works() -> None:
    (text,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(text, namespace)
    assert namespace["reward"](prompts=["a"], responses=["yes!"]) == [0.1]  # type: ignore[operator]


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_a_link_in_the_readme_leads_somewhere(link: str) -> None:
    assert (Path(__file__).resolve().parents[1] / link).exists()
