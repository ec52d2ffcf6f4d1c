"""`ppo-tui ratings`: shown, exported, imported."""

from pathlib import Path

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.config.schema import ModelConfig
from ppo_tui.plan.identity import base_identity
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.ratings import (
    About,
    RatingsFile,
    new_pair,
    new_rating,
    new_skip,
    new_undo,
)

BASE = base_identity(ModelConfig())


def about(number: int) -> About:
    return About("the cat", f" sat {number}", f"1-{number}", 0, "AAA=")


def rating(value, number, rater="ann", base=BASE, model="bundled"):
    return new_rating(rater, model, base, "first-run", about(number), value)


@pytest.fixture
def rated(run):
    file = RatingsFile(run.ratings_path)
    file.append(rating(4, 0), rating(4, 1), rating(1, 2, "ben"), new_skip("ann", [about(5)]))
    file.append(new_pair("ann", "bundled", BASE, "first-run", about(0), about(1), 0.5))
    undone = rating(5, 3)
    file.append(undone, new_undo("ann", undone.id))
    return run


@pytest.fixture
def other(home):
    text = resolve("demo", []).to_yaml()
    return RunDirectory.create(home / "runs" / "other", text, total=4)


def test_ratings_are_shown_with_who_gave_them(here, rated):
    said = here("ratings", "show", "first-run")
    assert said.code == 0
    assert said.out.splitlines() == [
        "first-run: 3 ratings, 1 pair",
        "  1               1  ####################",
        "  2               0",
        "  3               0",
        "  4               2  ########################################",
        "  5               0",
        "  pairs           1  0 first better, 1 tied, 0 second better",
        "  skipped         1",
        "  by              3  ann",
        "  by              1  ben",
        "  base            4  bundled (sha256:dd316a0f7cce)",
    ]


def test_ratings_as_json(here, rated):
    with rated.ratings_path.open("ab") as file:
        file.write(b'{"cut')
    assert here("ratings", "show", "first-run", "--json").json == {
        "run_dir": str(rated.path),
        "ratings": 3,
        "pairs": 1,
        "skips": 1,
        "damaged": 1,
        "newer": 0,
        "raters": {"ann": 3, "ben": 1},
        "histogram": {"1": 1, "2": 0, "3": 0, "4": 2, "5": 0},
        "pair_choices": {"first": 0, "tie": 1, "second": 0},
        "bases": [{"model": "bundled", "base": BASE, "count": 4}],
    }


def test_a_run_without_ratings_says_how_to_give_some(here, run):
    said = here("ratings", "show", "first-run")
    assert (said.code, said.out) == (0, "")
    assert "`ppo-tui rate first-run` gives some." in said.err
    assert here("ratings", "show", "first-run", "--json").json["ratings"] == 0


def test_names_from_a_foreign_file_cannot_send_escape_sequences(here, run):
    file = RatingsFile(run.ratings_path)
    file.append(rating(3, 0, "ann\x1b[31m", "sha256:\x1b", "m\x1b]0;t\x07"), rating(3, 1, "", ""))
    said = here("ratings", "show", "first-run")
    assert "\x1b" not in said.out
    assert r"ann\x1b[31m" in said.out
    assert "somebody without a name" in said.out
    assert "weights not known" in said.out


def test_ratings_go_from_one_run_to_another_and_count_once(here, rated, other, tmp_path):
    file = str(tmp_path / "mine.jsonl")
    said = here("ratings", "export", "first-run", file)
    assert (said.code, said.out) == (0, f"{file}\n")
    assert len(Path(file).read_text().splitlines()) == 4
    assert here("ratings", "import", "other", file).out == "other: 4 added.\n"
    again = here("ratings", "import", "other", "first-run")
    assert again.out == "other: 0 added, 4 there already.\n"
    by_path = here("ratings", "import", "other", str(rated.path), "--json").json
    assert by_path == {
        "run_dir": str(other.path),
        "added": 0,
        "already": 4,
        "other_base": 0,
        "taken_back": 0,
        "damaged": 0,
    }
    assert RatingsFile(other.ratings_path).read().raters == {"ann": 3, "ben": 1}


def test_an_export_replaces_a_file_only_by_force(here, rated, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text("mine")
    said = here("ratings", "export", "first-run", str(file))
    assert said.code == 1
    assert "is there already" in said.err
    assert "--force" in said.err
    said = here("ratings", "export", "first-run", str(file), "--force", "--json")
    assert said.json == {"file": str(file), "count": 4}


def test_an_export_into_a_folder_that_is_not_there_fails_in_one_sentence(here, rated, tmp_path):
    said = here("ratings", "export", "first-run", str(tmp_path / "gone" / "mine.jsonl"), "--json")
    assert said.code == 1
    assert said.json["error"]["code"] == "storage.gone"


def test_ratings_of_another_base_are_refused_and_both_are_named(here, run, other):
    RatingsFile(run.ratings_path).append(rating(3, 0, base="sha256:cd", model="some/model"))
    said = here("ratings", "import", "other", "first-run", "--json")
    assert said.code == 1
    error = said.json["error"]
    assert error["code"] == "ratings.other_base"
    assert "some/model" in error["message"]
    assert "bundled" in error["message"]


@pytest.mark.parametrize("source", ["nowhere", "nowhere.jsonl", "/no/where", "a\0b", ""])
def test_a_source_that_is_not_there_is_named(here, other, source):
    said = here("ratings", "import", "other", source, "--json")
    assert said.code == 1
    assert said.json["error"]["code"] == "ratings.missing"


def test_a_run_whose_model_is_gone_takes_no_ratings_from_elsewhere(here, rated, other):
    text = other.config_path.read_text().replace("name: bundled", "name: /gone/model")
    other.config_path.write_text(text)
    said = here("ratings", "import", "other", "first-run", "--json")
    assert said.code == 4
    assert said.json["error"]["code"] == "model.missing"
