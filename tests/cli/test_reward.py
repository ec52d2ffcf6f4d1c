"""`ppo-tui reward`: from ratings to a reward, told in sentences; nothing here needs a model."""

import json

import numpy as np
import pytest

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import encode as line
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.ratings import About, RatingsFile, new_pair, new_rating
from ppo_tui.taste.reading import encode

from .test_imports import loaded_by

BASE, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
WIDTH = 5 * 8 + 1


def candidates(count, seed=0):
    """Texts whose readings say how good they are, in a direction that has to be found."""
    rng = np.random.default_rng(seed)
    readings = rng.normal(size=(count, WIDTH))
    return [
        Candidate(f"r0-{i}", 0, f"prompt {i % 6}", f"text {i}", 9, True, encode(reading))
        for i, reading in enumerate(readings)
    ], readings[:, :3].sum(1)


def rate(run, count=40, *, base=BASE, model="bundled", rater="ann", equal=False, seed=0):
    """Write a pool and ratings as a run and a rater do."""
    pool, quality = candidates(max(count, 60), seed)
    with run.pool_path.open("ab") as file:
        for candidate in pool:
            file.write(line(candidate.to_json()))
    values = np.clip(np.round(3 + quality), 1, 5).astype(int)
    RatingsFile(run.ratings_path).append(
        *(
            new_rating(rater, model, base, run.name, About.of(each), 3 if equal else int(values[i]))
            for i, each in enumerate(pool[:count])
        )
    )


@pytest.fixture
def other_run(home, run):
    return RunDirectory.create(home / "runs" / "second-run", run.config_path.read_text(), total=4)


# ---- fitting


def test_a_runs_ratings_become_a_reward_that_says_what_it_is(here, run, tmp_path):
    rate(run)
    said = here("reward", "fit", "first-run", "--to", str(tmp_path / "taste"))
    assert said.code == 0
    assert said.out == f"{tmp_path / 'taste'}\n"
    assert "Learnt from 40 ratings of 1 person; held out, its rank correlation" in said.err
    assert f"reward: {{kind: human, from: {tmp_path / 'taste'}}}" in said.err
    record = json.loads((tmp_path / "taste" / "reward.json").read_text())
    assert (record["kind"], record["base"], record["ratings"]) == ("human", BASE, 40)


def test_as_json(here, run, tmp_path):
    rate(run)
    said = here("reward", "fit", "last", "--to", str(tmp_path / "taste"), "--json")
    assert (said.code, said.err) == (0, "")
    answer = said.json
    assert answer["path"] == str(tmp_path / "taste")
    assert (answer["kind"], answer["model"], answer["base"]) == ("human", "bundled", BASE)
    assert (answer["ratings"], answer["pairs"], answer["raters"]) == (40, 0, 1)
    assert [point["count"] for point in answer["agreement"]] == [10, 20, 40]
    assert answer["agreement"][-1]["correlation"] > 0.3
    assert (answer["damaged"], answer["unknown_base"], answer["readings_made"]) == (0, 0, 0)


def test_several_runs_and_files_are_taken_together_each_rating_once(here, run, other_run, tmp_path):
    rate(run, 20)
    rate(other_run, 15, rater="bob", seed=1)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(run.ratings_path.read_bytes())
    said = here(
        "reward", "fit", "first-run", "second-run", str(copy), "--to", str(tmp_path / "t"), "--json"
    )
    assert (said.json["ratings"], said.json["raters"]) == (35, 2)


def test_a_file_alone_is_enough(here, run, tmp_path):
    rate(run)
    exported = tmp_path / "mine.jsonl"
    run.ratings_path.rename(exported)
    said = here("reward", "fit", str(exported), "--to", str(tmp_path / "t"), "--json")
    assert (said.code, said.json["ratings"]) == (0, 40)


def test_what_is_damaged_is_counted_and_the_others_are_used(here, run, tmp_path):
    rate(run)
    lines = run.ratings_path.read_bytes().splitlines(keepends=True)
    beyond = lines[1].replace(b'"rating":', b'"rating":9', 1)
    assert beyond != lines[1]
    run.ratings_path.write_bytes(lines[0] + beyond + b"".join(lines[2:-1]) + lines[-1][:40])
    said = here("reward", "fit", "last", "--to", str(tmp_path / "t"))
    assert said.code == 0
    assert "2 lines are left out" in said.err
    assert "38 ratings" in said.err


def test_no_torch_is_loaded(run, tmp_path):
    rate(run)
    target = str(tmp_path / "t")
    code = (
        "from ppo_tui.cli.entry import run; "
        f"assert run(['reward', 'fit', {str(run.path)!r}, '--to', {target!r}]) == 0; "
        f"assert run(['reward', 'show', {target!r}]) == 0; "
        f"assert run(['reward', 'show', {str(run.path)!r}]) == 0"
    )
    assert not loaded_by(code).intersection({"torch", "transformers", "peft", "textual"})


# ---- what is refused


def refused(here, *arguments):
    said = here("reward", "fit", *arguments, "--json")
    return said.code, said.json["error"]


def test_without_ratings_there_is_nothing_to_learn(here, run, tmp_path):
    code, error = refused(here, "last", "--to", str(tmp_path / "t"))
    assert (code, error["code"]) == (1, "ratings.none")
    assert error["message"] == "first-run holds no rating"
    assert error["hint"] == "Rate what a run writes: `ppo-tui rate first-run`."


def test_too_few_ratings(here, run, tmp_path):
    rate(run, 4)
    code, error = refused(here, "last", "--to", str(tmp_path / "t"))
    assert (code, error["code"]) == (1, "ratings.few")
    assert error["message"] == "only 4 ratings: a reward needs at least 5"


def test_ratings_that_are_all_equal(here, run, tmp_path):
    rate(run, 12, equal=True)
    code, error = refused(here, "last", "--to", str(tmp_path / "t"))
    assert (code, error["code"]) == (1, "ratings.no_signal")
    assert error["message"] == "all 12 ratings are 3: nothing can be learnt from them"


def test_pairs_that_are_all_ties(here, run, tmp_path):
    pool, _ = candidates(12)
    RatingsFile(run.ratings_path).append(
        *(
            new_pair("ann", "m", BASE, "r", About.of(pool[2 * i]), About.of(pool[2 * i + 1]), 0.5)
            for i in range(6)
        )
    )
    _, error = refused(here, "last", "--to", str(tmp_path / "t"))
    assert error["message"] == "all 6 pairs are ties: nothing can be learnt from them"


def test_ratings_of_two_bases_are_refused_and_both_are_named(here, run, other_run, tmp_path):
    rate(run, 20)
    rate(other_run, 20, base=OTHER, model="Qwen/Qwen3-0.6B")
    code, error = refused(here, "first-run", "second-run", "--to", str(tmp_path / "t"))
    assert (code, error["code"]) == (1, "ratings.other_base")
    for part in ("first-run", "bundled", "second-run", "Qwen/Qwen3-0.6B"):
        assert part in error["message"]
    assert not (tmp_path / "t").exists()


def test_ratings_whose_base_is_not_known(here, run, tmp_path):
    rate(run, 20, base="")
    code, error = refused(here, "last", "--to", str(tmp_path / "t"))
    assert (code, error["code"]) == (1, "ratings.base_unknown")


def test_a_place_that_is_taken(here, run, tmp_path):
    rate(run)
    target = tmp_path / "t"
    target.mkdir()
    code, error = refused(here, "last", "--to", str(target))
    assert (code, error["code"]) == (1, "reward.exists")
    _, error = refused(here, "last", "--to", str(target), "--force")
    assert "--force replaces nothing else" in error["message"]
    target.rmdir()
    assert here("reward", "fit", "last", "--to", str(target)).code == 0
    assert refused(here, "last", "--to", str(target))[1]["code"] == "reward.exists"
    assert here("reward", "fit", "last", "--to", str(target), "--force").code == 0


@pytest.mark.parametrize(
    ("source", "code"), [("no-such-run", "run.missing"), ("gone.jsonl", "ratings.missing")]
)
def test_a_source_that_is_not_there(here, run, tmp_path, source, code):
    exit_code, error = refused(here, source, "--to", str(tmp_path / "t"))
    assert (exit_code, error["code"]) == (1, code)


# ---- showing


def test_a_run_shows_what_it_likes(here, run):
    rate(run)
    said = here("reward", "show", "last")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("run first-run\n")
    assert "ratings     40" in said.out
    assert "rank correlation" in said.out
    assert "█" in said.out
    assert "It likes most:" in said.out
    assert "It likes least:" in said.out


def test_a_run_without_ratings_says_so(here, run):
    said = here("reward", "show", "last")
    assert said.code == 0
    assert "nothing is learnt yet: There are no ratings yet; give some." in said.out


def test_hostile_texts_are_shown_harmlessly(here, run):
    rate(run)
    text = run.pool_path.read_text().replace('"text ', '"\\u001b[31m[bold]text ')
    run.pool_path.write_text(text)
    said = here("reward", "show", "last")
    assert "\x1b" not in said.out
    assert "[bold]text" in said.out


def test_a_saved_reward_says_what_it_is(here, run, tmp_path):
    rate(run)
    here("reward", "fit", "last", "--to", str(tmp_path / "taste"))
    said = here("reward", "show", str(tmp_path / "taste"))
    assert said.code == 0
    assert said.out.startswith(f"reward {tmp_path / 'taste'}\n")
    assert f"identity    {BASE}" in said.out
    record = here("reward", "show", str(tmp_path / "taste"), "--json").json
    assert record["kind"] == "human"
    assert record["date"].startswith("20")


@pytest.mark.parametrize(
    ("content", "code", "exit_code"),
    [(None, "reward.artefact_missing", 4), ("{", "reward.artefact_damaged", 1)],
)
def test_a_reward_that_cannot_be_read(here, run, tmp_path, content, code, exit_code):
    folder = tmp_path / "taste"
    folder.mkdir()
    if content is not None:
        (folder / "reward.json").write_text(content)
    said = here("reward", "show", str(folder), "--json")
    assert (said.code, said.json["error"]["code"]) == (exit_code, code)


def test_a_reward_of_a_newer_version(here, run, tmp_path):
    rate(run)
    here("reward", "fit", "last", "--to", str(tmp_path / "taste"))
    path = tmp_path / "taste" / "reward.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"v": 99}))
    said = here("reward", "show", str(tmp_path / "taste"), "--json")
    assert said.json["error"]["code"] == "reward.artefact_newer"
