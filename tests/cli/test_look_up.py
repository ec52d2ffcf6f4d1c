"""The commands that only answer."""

import pytest

from ppo_tui.config.presets import load_preset, preset_names
from ppo_tui.config.resolve import parse_config, resolve


def test_without_a_command_a_newcomer_is_invited_and_sees_the_help(here):
    said = here()
    assert said.code == 0
    assert "ppo-tui demo" in said.out
    assert "Watch and steer a run:" in said.out


def test_without_a_command_the_runs_are_shown(here, run):
    said = here()
    assert said.code == 0
    assert "first-run" in said.out
    assert "Usage: ppo-tui" in said.out


def test_every_command_stands_in_a_section_of_the_help():
    from typer.main import get_command

    from ppo_tui.cli.entry import SECTIONS, app

    listed = [name for names in SECTIONS.values() for name in names]
    commands = get_command(app).commands
    assert sorted(listed) == sorted(name for name in commands if not commands[name].hidden)


def test_the_version_is_printed(here):
    assert here("--version").out.startswith("ppo-tui ")


def test_presets_are_listed_shown_and_valid(here):
    assert "demo" in here("presets", "list").out
    listed = here("presets", "list", "--json").json["presets"]
    assert [preset["name"] for preset in listed] == preset_names()
    assert "kl_coef: 0.05" in here("presets", "show", "demo").out
    shown = here("presets", "show", "demo", "--json").json["values"]
    assert shown == load_preset("demo").values
    assert here("presets", "validate").code == 0
    assert all(row["valid"] for row in here("presets", "validate", "--json").json["presets"])


def test_an_invalid_preset_of_the_users_own_is_named(here, home):
    (home / "presets").mkdir(parents=True)
    (home / "presets" / "mine.yaml").write_text("stepps: 3\n")
    said = here("presets", "validate")
    assert said.code == 3
    assert "mine: " in said.err
    assert "demo: valid" in said.out
    assert here("presets", "validate", "demo").code == 0


def test_the_schema_is_json_and_describes_every_group(here):
    schema = here("config", "schema").json
    assert {"model", "ppo", "reward"} <= set(schema["properties"])
    assert here("config", "schema", "--json").json == schema


def test_a_configuration_is_validated_with_its_changes(here):
    assert here("config", "validate", "demo", "--set", "steps=5").code == 0
    assert here("config", "validate", "demo", "--json").json == {"name": "demo", "valid": True}


def test_the_plan_shows_its_parts_and_its_sum(here):
    said = here("plan", "demo", "--budget", "8GB")
    assert "of 8.00 GiB: fits" in said.out
    assert "weights" in said.out
    plan = here("plan", "demo", "--budget", "8GB", "--json").json
    assert plan["budget_bytes"] == 8 * 2**30
    assert plan["total_bytes"] == sum(p["bytes"] for p in plan["parts"] if p["at_peak"])


def test_the_plan_says_what_it_chose_in_words_and_as_data(here):
    said = here("plan", "demo", "--budget", "8GB")
    assert "Chosen for the update:   32 sequences at a time, no recomputation." in said.out
    assert (
        "Chosen for the rollout:  decoding 256 responses at once on a merged 16-bit copy of the "
        "weights, in memory that is kept for the next step." in said.out
    )
    assert here("plan", "demo", "--budget", "8GB", "--json").json["choices"] == {
        "micro_batch_tokens": None,
        "rollout_weights": "merged",
        "keep_rollout": True,
        "rollout_slots": 256,
        "checkpointing": False,
    }
    small = here("plan", "demo", "--budget", "50MB").out
    assert "activations computed again in the backward pass" in small
    assert "on the weights as they are held, the adapter beside them" in small


def test_memory_that_the_configuration_allows_is_the_budget(here):
    allowed = ("--set", "engine.memory_gib=2")
    assert "of 2.00 GiB allowed: fits" in here("plan", "demo", *allowed).out
    assert here("plan", "demo", *allowed, "--json").json["budget_bytes"] == 2 * 2**30
    assert "of 1.50 GiB: " in here("plan", "demo", *allowed, "--budget", "1.5GB").out


def test_a_plan_that_does_not_fit_says_what_would_help(here):
    said = here("plan", "demo", "--budget", "50MB")
    assert ": too large" in said.out
    assert "--set " in said.out


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 2**33), ("8", 2**33), ("8 gib", 2**33), ("512M", 2**29), ("1.5G", 3 * 2**29)],
)
def test_sizes_are_read_as_cards_are_sold(text, size):
    from ppo_tui.cli.plan import parse_size

    assert parse_size(text) == size


def test_a_dry_run_prints_what_would_be_run_and_makes_nothing(here, home):
    said = here("train", "demo", "--set", "steps=7", "--dry-run")
    assert said.code == 0
    assert "steps: 7  # --set" in said.out
    assert "# memory plan for" in said.out
    assert parse_config(said.out, "stdout") == resolve("demo", ["steps=7"]).config
    assert not (home / "runs").exists()


def test_a_dry_run_as_json_holds_configuration_origins_and_plan(here):
    answer = here("train", "demo", "--dry-run", "--set", "steps=7", "--json").json
    assert answer["config"]["steps"] == 7
    assert answer["origins"]["steps"] == "--set"
    assert answer["plan"]["verdict"] == "fits"


@pytest.mark.slow
def test_the_doctor_looks_at_everything(here):
    said = here("doctor", "--json")
    subjects = {finding["subject"] for finding in said.json["findings"]}
    assert {"python", "torch", "CPU", "memory", "disk", "runs", "terminal"} <= subjects
    assert said.code == (0 if said.json["ok"] else 1)


def test_a_place_where_no_run_can_be_made_is_a_problem(tmp_path, monkeypatch):
    from ppo_tui.prepare.checkup import _writable

    (tmp_path / "file").touch()
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "file" / "home"))
    assert _writable().level == "problem"
