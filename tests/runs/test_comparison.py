import math

import pytest

from ppo_tui.errors import UsageError
from ppo_tui.runs.comparison import Comparer, SettingValue, differing_settings, told_apart
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import Event, RunState, eval_event, step_event
from ppo_tui.runs.state import write_state


def make(path, config="steps: 10\n", *events):
    run = RunDirectory.create(path, config, total=10)
    write(run, *events)
    return run


def write(run, *events):
    with JournalWriter(run.events_path) as journal:
        for event in events:
            journal.append(event.to_json())


def pair(prompt, base, tuned):
    return {"prompt": prompt, "base": base, "tuned": tuned, "base_score": -0.5, "tuned_score": 0.5}


def answers(step, who, **given):
    items = [{"prompt": key, "response": text, "score": 0.25} for key, text in given.items()]
    return Event("answers", 1.0, step, {"who": who, "answers": items})


def test_settings_that_differ_are_named_by_their_dotted_key_in_the_schemas_order():
    found = differing_settings(
        [
            {"steps": 10, "ppo": {"kl_coef": 0.05, "clip": 0.2}},
            {"steps": 20, "ppo": {"kl_coef": 0.1, "clip": 0.2}},
        ]
    )
    assert [(d.key, [v.text for v in d.values]) for d in found] == [
        ("ppo.kl_coef", ["0.05", "0.1"]),
        ("steps", ["10", "20"]),
    ]


def test_the_same_number_written_in_two_ways_does_not_differ():
    assert differing_settings([{"adapter": {"alpha": 32}}, {"adapter": {"alpha": 32.0}}]) == ()


def test_a_setting_that_an_older_file_does_not_know_is_its_default():
    (found,) = differing_settings([{}, {"ppo": {"gamma": 0.5}}])
    assert found.values == (SettingValue("1", is_default=True), SettingValue("0.5"))


def test_a_setting_that_this_version_does_not_know_is_compared_all_the_same():
    (found,) = differing_settings([{"ppo": {"newer": 3}}, {}])
    assert (found.key, found.values) == ("ppo.newer", (SettingValue("3"), SettingValue("")))


def test_terms_of_a_reward_are_compared_one_by_one_and_have_no_default():
    glad = {"kind": "sentiment", "weight": 1.0}
    short = {"kind": "length", "weight": 0.5}
    found = differing_settings(
        [{"reward": {"terms": [glad]}}, {"reward": {"terms": [glad, short]}}]
    )
    assert [(d.key, [v.text for v in d.values]) for d in found] == [
        ("reward.terms.1.kind", ["", "length"]),
        ("reward.terms.1.weight", ["", "0.5"]),
    ]


def test_a_configuration_that_cannot_be_read_differs_in_nothing():
    assert differing_settings([{"steps": 10}, None, {"steps": 10}]) == ()


def test_runs_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    runs = [make(tmp_path / place) for place in ("a/x/demo", "b/x/demo", "other")]
    assert told_apart(runs) == ("a/x/demo", "b/x/demo", "other")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_two_to_eight_runs_can_be_compared(tmp_path, count):
    runs = [make(tmp_path / str(number)) for number in range(count)]
    with pytest.raises(UsageError, match=f"2 to 8 runs can be compared; named: {count}"):
        Comparer(runs)


def test_a_run_is_not_compared_with_itself(tmp_path):
    run = make(tmp_path / "a")
    (tmp_path / "link").symlink_to(run.path)
    with pytest.raises(UsageError, match="named twice"):
        Comparer([run, RunDirectory.open(tmp_path / "link")])


def test_numbers_of_the_last_step_and_the_last_evaluation_stand_side_by_side(tmp_path):
    one = make(
        tmp_path / "one",
        "steps: 10\n",
        step_event(1, {"reward/score": 0.1, "kl/ref": 0.0}),
        step_event(2, {"reward/score": 0.7, "kl/ref": 3.0, "value/loss": math.nan}),
        eval_event(2, {"eval/share_of_optimum": 0.9}),
    )
    two = make(tmp_path / "two", "steps: 10\n", step_event(1, {"reward/score": 0.2}))
    found = {figures.name: figures.values for figures in Comparer([one, two]).look().figures}
    assert list(found) == ["reward/score", "kl/ref", "eval/share_of_optimum", "value/loss"]
    assert found["reward/score"] == (0.7, 0.2)
    assert found["kl/ref"] == (3.0, None)
    assert found["eval/share_of_optimum"] == (0.9, None)


def test_answers_to_the_same_prompts_stand_side_by_side(tmp_path):
    one = make(
        tmp_path / "one", "", eval_event(3, {}, pairs=[pair("p", "b", "t1"), pair("q", "b", "x")])
    )
    two = make(
        tmp_path / "two", "", eval_event(5, {}, pairs=[pair("p", "b", "t2"), pair("r", "b", "y")])
    )
    (same,) = Comparer([one, two]).look().prompts
    assert same.prompt == "p"
    assert [(a.response, a.score, a.step) for a in same.tuned] == [("t1", 0.5, 3), ("t2", 0.5, 5)]
    assert same.common_base.response == "b"


def test_base_models_that_answer_differently_have_no_common_answer(tmp_path):
    runs = [
        make(tmp_path / name, "", eval_event(1, {}, pairs=[pair("p", name, "t")]))
        for name in ("one", "two")
    ]
    (same,) = Comparer(runs).look().prompts
    assert same.common_base is None
    assert [answer.response for answer in same.bases] == ["one", "two"]


def test_the_newest_answer_to_a_prompt_counts(tmp_path):
    one = make(
        tmp_path / "one",
        "",
        answers(0, "base", p="base"),
        answers(1, "policy", p="early"),
        answers(2, "policy", p="late"),
    )
    two = make(tmp_path / "two", "", answers(1, "policy", p="other"))
    (same,) = Comparer([one, two]).look().prompts
    assert [answer.response for answer in same.tuned] == ["late", "other"]
    assert [same.bases[0].response, same.bases[1]] == ["base", None]


def test_prompts_that_most_runs_answered_come_first(tmp_path):
    runs = [
        make(tmp_path / "a", "", answers(1, "policy", p="1", q="1")),
        make(tmp_path / "b", "", answers(1, "policy", p="2", q="2")),
        make(tmp_path / "c", "", answers(1, "policy", q="3")),
    ]
    found = Comparer(runs).look().prompts
    assert [same.prompt for same in found] == ["q", "p"]
    assert found[1].tuned[2] is None


def test_a_live_run_brings_new_answers_at_the_next_look(tmp_path):
    one = make(tmp_path / "one", "", answers(1, "policy", p="early"))
    two = make(tmp_path / "two", "", answers(1, "policy", p="other"))
    comparer = Comparer([one, two])
    assert comparer.look().prompts[0].tuned[0].response == "early"
    write(one, step_event(2, {"reward/score": 1.0}), answers(2, "policy", p="late"))
    seen = comparer.look()
    assert seen.prompts[0].tuned[0].response == "late"
    assert seen.figures[0].values == (1.0, None)


def test_answers_that_a_resume_cut_off_are_forgotten(tmp_path):
    one = make(tmp_path / "one", "", answers(1, "policy", p="early"))
    kept = one.events_path.stat().st_size
    write(one, answers(2, "policy", p="late", q="late"))
    two = make(tmp_path / "two", "", answers(1, "policy", p="other", q="other"))
    comparer = Comparer([one, two])
    assert len(comparer.look().prompts) == 2
    with JournalWriter(one.events_path) as journal:
        journal.cut(kept)
    write(one, step_event(2, {"filler": 1.0}, note="x" * 500))
    (same,) = comparer.look().prompts
    assert (same.prompt, same.tuned[0].response) == ("p", "early")


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"answers","answers":7}\n',
        b'{"kind":"answers","answers":[7,{"prompt":1,"response":"x"},{"prompt":"p"}]}\n',
        b'{"kind":"eval","pairs":{},"metrics":[]}\n',
        b'{"kind":"eval"\n',
        b'\xff\xfe"eval"\n',
    ],
)
def test_answers_that_are_nonsense_are_stepped_over(tmp_path, line):
    one = make(tmp_path / "one", "", answers(1, "policy", p="1"))
    two = make(tmp_path / "two", "", answers(1, "policy", p="2"))
    with one.events_path.open("ab") as file:
        file.write(line)
    (same,) = Comparer([one, two]).look().prompts
    assert same.tuned[0].response == "1"


def test_a_run_that_breaks_or_vanishes_has_its_problem_and_the_others_stand(tmp_path):
    one, two, three = (make(tmp_path / name, "steps: 10\n") for name in ("one", "two", "three"))
    comparer = Comparer([one, two, three])
    one.config_path.write_text("steps: [")
    two.path.rename(tmp_path / "gone")
    write_state(three, RunState(Phase.FINISHED, 10, 10, None))
    seen = comparer.look()
    assert "is not valid YAML" in seen.problems[0]
    assert "there is no run at" in seen.problems[1]
    assert seen.problems[2] == ""
    assert [summary.phase for summary in seen.summaries] == [Phase.CREATED, None, Phase.FINISHED]
    assert seen.settings == ()
