"""Workers that are rewarded by people's ratings: they wait, they learn, they lose nothing."""

import signal
import time
from pathlib import Path

import pytest

from ppo_tui.plan.identity import base_identity
from ppo_tui.runs.control import post
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.judgements import About, new_rating, new_undo
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.pool import read_pool
from ppo_tui.runs.ratings import RatingsFile
from ppo_tui.runs.state import observe, read_state
from worker.processes import answer_to, events, make_run, sample_ids, steps_of, wait_for
from worker.processes import forked as start
from worker.processes import forked_to_its_end as work

HUMAN = {"terms": [{"kind": "human"}]}
WAIT = {"mode": "wait", "first": 6, "every": 2, "per_round": 3, "candidates": 24, "pool": 2}


def rate(run, config, count, *, of=None, base=None, rater="anna"):
    """Give `count` more ratings: vowels are liked, or whatever `of` says of a response."""
    file = RatingsFile(run.ratings_path)
    rated = {rating.about.sample for rating in file.read().ratings}
    candidates = [c for c in read_pool(run.pool_path)[0] if c.id not in rated]
    like = of or (lambda text: 1 + min(4, sum(text.count(vowel) for vowel in "aeiou")))
    for candidate in candidates[:count]:
        file.append(
            new_rating(
                rater,
                "tiny",
                base_identity(config.model) if base is None else base,
                run.name,
                About.of(candidate),
                like(candidate.response),
            )
        )


def waiting(run, message=""):
    def look():
        state = read_state(run)
        return state.state is Phase.AWAITING_RATINGS and state.message.startswith(message)

    return look


@pytest.fixture
def config(small_config):
    return small_config(reward=HUMAN, ratings=WAIT, steps=4, checkpoint={"every": 1})


@pytest.fixture
def run(config, tmp_path):
    return make_run(tmp_path / "run", config)


def test_a_run_waits_for_each_round_and_goes_on_when_it_is_rated(run, config):
    worker = start(run)
    wait_for(waiting(run, "0 of 6 ratings"), worker)
    assert observe(run).phase is Phase.AWAITING_RATINGS
    assert len(read_pool(run.pool_path)[0]) == 24
    rate(run, config, 5)
    wait_for(waiting(run, "5 of 6 ratings"), worker)
    assert steps_of(run) == []
    rate(run, config, 1)
    wait_for(waiting(run, "6 of 9 ratings"), worker)
    assert steps_of(run) == [1, 2]
    rate(run, config, 3)
    assert worker.wait(60) == 0
    assert steps_of(run) == [1, 2, 3, 4]
    last = events(run, "step")[-1]["metrics"]
    assert last["human/ratings"] == 9
    assert 1 <= last["human/mean"] <= 5
    assert last["reward/human"] < last["human/mean"]
    told = [event["message"] for event in events(run, "log")]
    assert any(message.startswith("The reward follows 6 ratings of 1 person.") for message in told)


def test_every_step_leaves_some_of_its_texts_to_be_rated(run, config):
    rate_first = start(run)
    wait_for(waiting(run), rate_first)
    rate(run, config, 9)
    assert rate_first.wait(60) == 0
    ids = [candidate.id for candidate in read_pool(run.pool_path)[0]]
    assert [name for name in ids if not name.startswith("r")] == [
        f"{step}-{index}" for step in (1, 2, 3, 4) for index in (0, 1)
    ]
    assert {name.partition("-")[0] for name in ids if name.startswith("r")} == {"r0", "r2"}
    written = {c.id: c for c in read_pool(run.pool_path)[0]}
    assert (written["3-1"].step, written["r2-0"].step, written["r0-0"].step) == (2, 2, 0)


def test_a_run_of_another_reward_keeps_texts_to_be_rated_as_well(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(steps=2, ratings={"pool": 3}))
    assert work(run) == 0
    candidates = read_pool(run.pool_path)[0]
    assert [c.id for c in candidates] == ["1-0", "1-1", "1-2", "2-0", "2-1", "2-2"]
    assert all(c.reading for c in candidates)


def test_keeping_texts_to_be_rated_does_not_change_the_training(small_config, tmp_path):
    losses = []
    for pool in (0, 4):
        run = make_run(tmp_path / str(pool), small_config(steps=2, ratings={"pool": pool}))
        assert work(run) == 0
        losses.append([event["metrics"]["policy/loss"] for event in events(run, "step")])
    assert losses[0] == losses[1]


def test_ratings_that_are_all_alike_are_waited_past(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 6, of=lambda text: 3)
    wait_for(waiting(run, "6 ratings: "), worker)
    assert "3" in read_state(run).message
    rate(run, config, 6)
    wait_for(lambda: steps_of(run), worker)
    assert worker.wait(60) == 0


def test_ratings_of_another_base_are_left_out_and_said_so(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 6, base="sha256:other")
    wait_for(waiting(run, "0 of 6 ratings; 6 of another base"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_continue_is_refused_while_there_is_nothing_to_learn_from(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    request = post(run, "continue")
    answer = wait_for(lambda: answer_to(run, request), worker)
    assert answer["message"].startswith("The run cannot go on yet: ")
    rate(run, config, 5)
    wait_for(waiting(run, "5 of 6"), worker)
    request = post(run, "continue")
    answer = wait_for(lambda: answer_to(run, request), worker)
    assert answer["message"] == "The run goes on with 5 ratings."
    wait_for(lambda: steps_of(run) == [1, 2], worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_when_the_time_is_up_a_run_without_ratings_stops_and_can_be_resumed(small_config, tmp_path):
    ratings = {**WAIT, "timeout_minutes": 0.01}
    config = small_config(reward=HUMAN, ratings=ratings, steps=2)
    run = make_run(tmp_path / "run", config)
    assert work(run) == 5
    assert read_state(run).state is Phase.STOPPED
    assert "Too few ratings came within 0.01 minutes" in read_state(run).message
    rate(run, config, 6)
    assert work(run) == 0
    assert steps_of(run) == [1, 2]


def test_when_the_time_is_up_a_run_goes_on_with_what_it_has(small_config, tmp_path):
    config = small_config(
        reward=HUMAN, ratings={**WAIT, "first": 20, "timeout_minutes": 0.05}, steps=2
    )
    run = make_run(tmp_path / "run", config)
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 8)
    assert worker.wait(60) == 0
    assert events(run, "step")[-1]["metrics"]["human/ratings"] == 8


def test_a_flowing_run_waits_for_the_first_ratings_only(small_config, tmp_path):
    config = small_config(reward=HUMAN, ratings={**WAIT, "mode": "flow"}, steps=4)
    run = make_run(tmp_path / "run", config)
    worker = start(run)
    wait_for(waiting(run, "0 of 6"), worker)
    rate(run, config, 6)
    assert worker.wait(60) == 0
    assert [event["state"] for event in events(run, "state")].count("awaiting_ratings") == 1


def test_beside_another_reward_a_flowing_run_does_not_wait(small_config, tmp_path):
    terms = [{"kind": "human"}, {"kind": "regex", "pattern": "[aeiou]", "count": True}]
    config = small_config(reward={"terms": terms}, ratings={"candidates": 8}, steps=2)
    run = make_run(tmp_path / "run", config)
    assert work(run) == 0
    assert events(run, "step")[0]["metrics"]["reward/human"] == 3.0


def test_the_ratings_of_another_run_count_for_the_first_round(run, config, small_config, tmp_path):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 9)
    assert worker.wait(60) == 0
    second_config = small_config(
        reward=HUMAN, ratings={**WAIT, "mode": "flow", "use": [str(run.path)]}, steps=2
    )
    second = make_run(tmp_path / "second", second_config)
    assert work(second) == 0
    assert steps_of(second) == [1, 2]
    assert events(second, "step")[-1]["metrics"]["human/ratings"] == 9


def test_a_killed_run_resumes_to_the_same_end_and_counts_each_rating_once(
    config, small_config, tmp_path
):
    runs = []
    for name in ("whole", "killed"):
        run = make_run(tmp_path / name, config)
        runs.append(run)
        worker = start(run)
        wait_for(waiting(run), worker)
        rate(run, config, 6)
        wait_for(waiting(run, "6 of 9"), worker)
        if name == "killed":
            worker.send_signal(signal.SIGKILL)
            worker.wait(60)
            assert observe(run).phase is Phase.CRASHED
            rate(run, config, 2)
            worker = start(run)
            wait_for(waiting(run, "8 of 9"), worker)
            rate(run, config, 1)
        else:
            rate(run, config, 3)
        assert worker.wait(60) == 0
    whole, killed = runs
    assert sample_ids(whole) == sample_ids(killed)
    texts = [
        [(r["id"], r["response"], r["score"]) for r in read_journal(run.samples_path).records]
        for run in runs
    ]
    assert texts[0] == texts[1]
    pools = [[(c.id, c.reading) for c in read_pool(run.pool_path)[0]] for run in runs]
    assert pools[0] == pools[1]
    assert events(killed, "step")[-1]["metrics"]["human/ratings"] == 9


def test_a_run_that_is_stopped_while_it_waits_asks_about_the_same_texts_again(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    before = [candidate.id for candidate in read_pool(run.pool_path)[0]]
    post(run, "stop", mode="save")
    assert worker.wait(60) == 5
    worker = start(run)
    wait_for(waiting(run), worker)
    assert [candidate.id for candidate in read_pool(run.pool_path)[0]] == before
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_a_rating_without_a_reading_is_read_from_its_text(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    file = RatingsFile(run.ratings_path)
    for index, candidate in enumerate(read_pool(run.pool_path)[0][:6]):
        about = About(candidate.prompt, candidate.response, candidate.id, 0)
        base = base_identity(config.model)
        file.append(new_rating("anna", "tiny", base, run.name, about, 1 + index % 5))
    wait_for(waiting(run, "6 of 9"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_a_cut_line_costs_itself_only(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 5)
    with Path(run.ratings_path).open("ab") as file:
        file.write(b'{"kind":"rating","rating":4,"abo')
    time.sleep(0.3)
    rate(run, config, 1)
    wait_for(waiting(run, "6 of 9"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_ratings_that_cannot_be_read_are_told_and_waited_past(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 5)
    wait_for(waiting(run, "5 of 6"), worker)
    kept = run.path / "kept"
    run.ratings_path.rename(kept)
    run.ratings_path.mkdir()
    wait_for(lambda: "is a folder" in read_state(run).message, worker)
    assert read_state(run).message.startswith("5 of 6 ratings; ")
    run.ratings_path.rmdir()
    kept.rename(run.ratings_path)
    rate(run, config, 1)
    wait_for(waiting(run, "6 of 9"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_a_reading_that_is_none_of_this_base_is_made_again_from_the_text(run, config):
    readings = ("$$$$", "AAAA", "/3//f/9//38=")  # no base64, one number, not finite
    worker = start(run)
    wait_for(waiting(run), worker)
    file = RatingsFile(run.ratings_path)
    for index, candidate in enumerate(read_pool(run.pool_path)[0][:6]):
        about = About(candidate.prompt, candidate.response, candidate.id, 0, readings[index % 3])
        base = base_identity(config.model)
        file.append(new_rating("anna", "tiny", base, run.name, about, 1 + index % 5))
    wait_for(waiting(run, "6 of 9"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_a_lost_pool_does_not_end_the_run(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    candidates = run.pool_path.read_bytes()
    rate(run, config, 5)
    wait_for(waiting(run, "5 of 6"), worker)
    # Damaged where it stands, every line of it.
    run.pool_path.write_bytes(candidates.replace(b"{", b"["))
    other = run.path.with_name("other")
    other.mkdir()
    (other / "pool.jsonl").write_bytes(candidates)
    told = RatingsFile(run.ratings_path).read().ratings[0]
    left = read_pool(other / "pool.jsonl")[0][6]
    base = base_identity(config.model)
    RatingsFile(run.ratings_path).append(
        new_rating("anna", "tiny", base, run.name, About.of(left), 6 - told.rating)
    )
    wait_for(waiting(run, "6 of 9"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_what_the_reward_rests_on_is_recorded_after_a_resume_as_well(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 6)
    wait_for(waiting(run, "6 of 9"), worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait(60)
    worker = start(run)
    wait_for(lambda: observe(run).phase is Phase.AWAITING_RATINGS, worker)
    post(run, "continue")
    assert worker.wait(60) == 0
    metrics = [event["metrics"] for event in events(run, "step")]
    assert [each["human/ratings"] for each in metrics] == [6, 6, 6, 6]
    assert len({each["human/agreement"] for each in metrics}) == 1


def test_a_rating_taken_back_does_not_make_a_flowing_run_wait_again(small_config, tmp_path):
    ratings = {**WAIT, "mode": "flow", "first": 6}
    config = small_config(reward=HUMAN, ratings=ratings, steps=300)
    run = make_run(tmp_path / "run", config)
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 6)
    wait_for(lambda: steps_of(run), worker)
    file = RatingsFile(run.ratings_path)
    file.append(new_undo("anna", file.read().ratings[0].id))
    before = len(steps_of(run))
    wait_for(lambda: len(steps_of(run)) > before + 5, worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5
    assert [event["state"] for event in events(run, "state")].count("awaiting_ratings") == 1


def test_what_was_trained_is_saved_before_people_are_waited_for(small_config, tmp_path):
    config = small_config(reward=HUMAN, ratings=WAIT, steps=4, checkpoint={"every": 0})
    run = make_run(tmp_path / "run", config)
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 6)
    wait_for(waiting(run, "6 of 9"), worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait(60)
    worker = start(run)
    wait_for(waiting(run, "6 of 9"), worker)
    assert read_state(run).step == 2
    assert [event["who"] for event in events(run, "answers")] == ["base"]
    scores = [answer["score"] for answer in events(run, "answers")[0]["answers"]]
    assert set(scores) != {3.0}
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5


def test_a_worker_that_is_told_to_end_while_it_waits_ends_as_stopped(run, config):
    worker = start(run)
    wait_for(waiting(run), worker)
    rate(run, config, 2)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 5
    assert read_state(run).state is Phase.STOPPED
    worker = start(run)
    wait_for(waiting(run, "2 of 6 ratings"), worker)
    post(run, "stop", mode="now")
    assert worker.wait(60) == 5
