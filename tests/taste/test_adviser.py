"""What the adviser asks and tells, on runs whose readings hold a taste that can be learnt."""

import math
import time

import numpy as np
import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.ratings import About, RatingsFile, new_pair, new_rating, new_skip, new_undo
from ppo_tui.runs.records import Sample
from ppo_tui.runs.strict_json import dumps
from ppo_tui.taste.adviser import MOST_TOLD, Adviser
from ppo_tui.taste.reading import encode
from ppo_tui.taste.stock import FROM_SAMPLES, MOST_CANDIDATES, Stock, key_of

WIDTH = 5 * 8 + 1
WORDS = ("river", "stone", "lamp", "garden", "winter", "window", "road", "music", "bread", "cloud")


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", resolve("demo").to_yaml(), total=30)


def candidates(count, prompts=8, seed=0, width=WIDTH, first=0):
    """Texts with readings; the first number of a reading is what a person likes in it."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(first, first + count):
        words = " ".join(generator.choice(WORDS, 6))
        made.append(
            Candidate(
                f"r0-{number}",
                0,
                f"Prompt {number % prompts}:",
                f" {words} {number}",
                9,
                True,
                encode(generator.standard_normal(width)),
                time=float(number),
            )
        )
    return made


def write_pool(run, texts):
    with run.pool_path.open("a", encoding="utf-8") as file:
        for text in texts:
            file.write(dumps(text.to_json()) + "\n")


def liked(text):
    """The rating that a person with one simple taste gives."""
    from ppo_tui.taste.reading import decode

    return int(np.clip(round(3 + 1.3 * float(decode(text.reading)[0])), 1, 5))


def rate(run, texts, value=None, rater="ada"):
    file = RatingsFile(run.ratings_path)
    for text in texts:
        rating = liked(text) if value is None else value
        file.append(new_rating(rater, "bundled", "sha256:x", "run", About.of(text), rating))


def adviser(run, rater="ada"):
    made = Adviser(run, rater)
    made.refresh()
    return made


def ids(questions):
    return [tuple(text.id for text in question.texts) for question in questions]


def test_it_reads_nothing_before_it_is_asked_to(tmp_path):
    made = Adviser(RunDirectory(tmp_path / "gone"), "ada")
    assert made.questions("single") == []
    assert made.refresh() is False
    assert made.lesson().problem


def test_it_asks_about_the_pool_with_a_reason_a_question(run):
    write_pool(run, candidates(40))
    questions = adviser(run).questions("single", 6)
    assert len(set(ids(questions))) == 6
    assert all(question.reason and question.second is None for question in questions)


def test_the_same_files_give_the_same_advice(run):
    texts = candidates(60)
    write_pool(run, texts)
    rate(run, texts[:20])
    one, other = adviser(run), adviser(run)
    assert ids(one.questions("single", 5)) == ids(other.questions("single", 5))
    assert one.lesson() == other.lesson() or repr(one.lesson()) == repr(other.lesson())


def test_what_was_judged_or_skipped_is_not_asked_again_of_the_same_person(run):
    texts = candidates(12)
    write_pool(run, texts)
    rate(run, texts[:5])
    RatingsFile(run.ratings_path).append(new_skip("ada", [About.of(texts[5])]))
    asked = {id_ for (id_,) in ids(adviser(run).questions("single", 12))}
    assert asked.isdisjoint({text.id for text in texts[:6]})


def test_a_copy_of_what_was_judged_is_not_asked(run):
    text = candidates(1)[0]
    copy = Candidate("r9-9", 9, text.prompt, f" {text.response.upper()}  ", 9, True, text.reading)
    write_pool(run, [text])
    rate(run, [text])
    write_pool(run, [copy])
    assert adviser(run).questions("single", 5) == []


def test_what_is_on_the_screen_is_not_asked_at_the_same_time(run):
    write_pool(run, candidates(12))
    made = adviser(run)
    first = made.questions("single")[0].first
    rest = made.questions("single", 12, besides=[first.id])
    assert (first.id,) not in ids(rest)


def test_what_was_taken_back_is_asked_again(run):
    [text] = candidates(1)
    write_pool(run, [text])
    rating = new_rating("ada", "bundled", "", "run", About.of(text), 2)
    RatingsFile(run.ratings_path).append(rating)
    made = adviser(run)
    assert made.questions("single") == []
    RatingsFile(run.ratings_path).append(new_undo("ada", rating.id))
    assert made.refresh()
    assert ids(made.questions("single")) == [(text.id,)]


def test_a_pair_is_two_answers_to_one_prompt_that_were_not_compared(run):
    texts = candidates(16, prompts=4)
    write_pool(run, texts)
    seen = set()
    for _ in range(5):
        [question] = adviser(run).questions("pair")
        assert question.first.prompt == question.second.prompt
        assert question.key not in seen
        seen.add(question.key)
        pair = new_pair(
            "ada", "bundled", "", "run", About.of(question.first), About.of(question.second), 1.0
        )
        RatingsFile(run.ratings_path).append(pair)


def test_without_two_answers_to_one_prompt_there_is_no_pair(run):
    write_pool(run, candidates(5, prompts=5))
    assert adviser(run).questions("pair", 3) == []


def test_new_candidates_and_ratings_are_taken_in(run):
    made = adviser(run)
    assert made.questions("single") == []
    texts = candidates(10)
    write_pool(run, texts)
    assert made.refresh()
    assert not made.refresh()
    assert made.questions("single")
    rate(run, texts[:1])
    assert made.refresh()
    assert made.ratings.count == 1


def test_it_learns_a_taste_and_tells_it(run):
    texts = candidates(150)
    write_pool(run, texts)
    rate(run, texts[:60])
    lesson = adviser(run).lesson()
    assert (lesson.ratings, lesson.pairs, lesson.raters, lesson.problem) == (60, 0, 1, "")
    assert lesson.points[-1].count > 0
    assert lesson.points[-1].correlation > 0.3
    assert len(lesson.likes) == len(lesson.dislikes) == MOST_TOLD
    assert min(told.mean for told in lesson.likes) > max(told.mean for told in lesson.dislikes)
    assert all(1 <= told.mean <= 5 and told.std >= 0 for told in lesson.likes + lesson.dislikes)


def test_it_says_why_it_cannot_learn(run):
    texts = candidates(20)
    write_pool(run, texts)
    assert adviser(run).lesson().problem
    rate(run, texts[:3])
    assert adviser(run).lesson().problem
    rate(run, texts[3:12], 4)
    rate(run, texts[:3], 4)
    problem = adviser(run).lesson().problem
    assert problem
    assert not adviser(run).lesson().likes
    assert adviser(run).questions("single", 3)


def test_readings_of_another_width_are_left_out_and_the_others_kept(run):
    texts = candidates(30)
    odd = candidates(5, width=5 * 4 + 1, seed=5, first=100)
    broken = [Candidate("r0-900", 0, "p", "broken", 1, True, "no base64!")]
    write_pool(run, [*texts, *odd, *broken])
    rate(run, texts[:10])
    rate(run, odd[:2])
    made = adviser(run)
    asked = {id_ for (id_,) in ids(made.questions("single", 100))}
    assert asked
    assert asked <= {text.id for text in texts[10:]}
    lesson = made.lesson()
    assert (lesson.ratings, lesson.problem) == (12, "")


def test_ratings_of_texts_without_readings_teach_nothing_and_that_is_said(run):
    texts = candidates(12)
    bare = [Candidate(t.id, 0, t.prompt, t.response, 9, True) for t in texts]
    rate(run, bare, 3)
    problem = adviser(run).lesson().problem
    assert problem.startswith("This run kept its texts without what the base model reads in them")
    assert "`ppo-tui reward fit` learns from them" in problem


def test_damaged_lines_are_stepped_over(run):
    texts = candidates(6)
    write_pool(run, texts[:3])
    with run.pool_path.open("ab") as file:
        file.write(b'{"kind":"candidate","id":7}\n\xff\xfe\n{"kind":"mood"}\n')
    write_pool(run, texts[3:])
    with run.pool_path.open("ab") as file:
        file.write(b'{"kind":"candidate","id":"r0-torn","prom')
    with run.ratings_path.open("ab") as file:
        file.write(b'{"kind":"rating","rating":9}\nnonsense\n')
    assert len(adviser(run).questions("single", 100)) == 6


def test_a_pool_that_was_cut_back_is_read_anew(run):
    texts = candidates(10)
    write_pool(run, texts)
    made = adviser(run)
    run.pool_path.write_text("")
    write_pool(run, texts[:4])
    assert made.refresh()
    assert len(made.questions("single", 100)) == 4


def test_without_a_pool_it_asks_about_samples(run):
    with run.samples_path.open("w", encoding="utf-8") as file:
        for step in range(1, 61):
            for index in range(4):
                text = f" text {step} {index}"
                sample = Sample(f"{step}-{index}", step, f"p{index}", text, 0.5, {}, 0.1, 9, True)
                file.write(dumps(sample.to_json()) + "\n")
    made = adviser(run)
    questions = made.questions("single", 4)
    assert {question.reason for question in questions} == {FROM_SAMPLES}
    assert len({question.first.prompt for question in questions}) == 4
    assert {question.first.step for question in questions} == {59}
    [pair] = made.questions("pair")
    assert pair.first.prompt == pair.second.prompt
    write_pool(run, candidates(3))
    assert made.refresh()
    assert {one.first.id for one in made.questions("single", 9)} == {"r0-0", "r0-1", "r0-2"}


def test_spread_takes_each_prompt_in_turn_and_the_newest_text_first(run):
    write_pool(run, candidates(12, prompts=3))
    stock = Stock(run, "ada")
    stock.refresh()
    asked = stock.spread("single", 6)
    assert [question.first.id for question in asked] == [
        "r0-11", "r0-10", "r0-9", "r0-8", "r0-7", "r0-6",
    ]  # fmt: skip
    besides = {question.key for question in asked}
    assert {key_of(text.first) for text in stock.spread("single", 99, besides)} == {
        key_of(text) for text in candidates(12, prompts=3)[:6]
    }


@pytest.mark.slow
def test_thousands_of_candidates_are_no_matter(run):
    texts = candidates(MOST_CANDIDATES + 200, prompts=64, width=201)
    write_pool(run, texts)
    rate(run, texts[-100:])
    made = adviser(run)
    assert len(made._stock.candidates) <= MOST_CANDIDATES
    made.questions("single", 4)  # sklearn is loaded by now
    begun = time.perf_counter()
    assert len(made.questions("single", 4)) == 4
    assert time.perf_counter() - begun < 3
    begun = time.perf_counter()
    lesson = made.lesson()
    assert time.perf_counter() - begun < 5
    assert not math.isnan(lesson.points[-1].correlation)
