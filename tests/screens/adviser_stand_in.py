"""Speaks as the process that advises, without learning anything.

`python adviser_stand_in.py ready|mute|fatal|dies RUN RATER`: `ready` asks about the pool from its
end and tells a lesson, `mute` never gets ready, `fatal` cannot begin, `dies` goes at the first
wish.
"""

import os
import sys
from pathlib import Path

from ppo_tui.rating_talk import Failure, Questions, Ready, Taught, encode, read_request
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.taste.lesson import Lesson, Mark, Told
from ppo_tui.taste.stock import Question, Stock

LESSON = Lesson(
    ratings=34,
    pairs=6,
    raters=2,
    points=tuple(
        Mark(count, value, 0.5 + value / 3)
        for count, value in ((5, 0.2), (10, 0.41), (20, 0.6), (30, 0.66), (40, 0.72))
    ),
    likes=(Told("The soup was", " warm [red]and[/] kind.", 4.6, 0.3),),
    dislikes=(Told("The room had", " nothing\x1b[31m.", 1.2, 0.5),),
)


def say(reply):
    os.write(1, encode(reply))


def main(mode, path, rater):
    if mode == "fatal":
        say(Failure("run.missing", "there is no run", "Look again.", fatal=True))
        return 1
    if mode == "mute":
        sys.stdin.buffer.read()
        return 0
    say(Ready())
    say(Taught(LESSON))
    for line in sys.stdin.buffer:
        if mode == "dies":
            sys.stderr.write("what it said last\n")
            return 3
        wish = read_request(line)
        stock = Stock(RunDirectory(Path(path)), rater)
        stock.refresh()
        asked = [
            Question(question.first, question.second, "Nobody has said anything like it.")
            for question in reversed(stock.spread(wish.kind, 100))
            if not {text.id for text in question.texts} & set(wish.besides)
        ]
        say(Questions(wish.number, wish.kind, tuple(asked[: wish.count])))
    return 0


sys.exit(main(*sys.argv[1:]))
