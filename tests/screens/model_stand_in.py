"""Speaks as the process with the model does, without one; what it does depends on the prompt.

`python model_stand_in.py ready|loading|fatal`.
"""

import os
import sys

from ppo_tui.conversation import (
    Ask,
    Cancel,
    Done,
    Failure,
    Piece,
    Quit,
    Ready,
    Status,
    encode,
    read_request,
)

ANSWERS = {"base": [" rather", " dull."], "tuned": [" rather", " wonder", "ful."]}


def say(reply):
    os.write(1, encode(reply))


def answer(ask):
    if ask.prompt == "die":
        sys.stderr.write("what it said last\n")
        sys.stderr.flush()
        os._exit(3)
    if ask.prompt == "refuse":
        say(Failure("data.overlong", "The prompt is too long.", "Shorten it.", ask.id))
        return None
    pieces = {"hostile": ["[red]x[/] [/ \x1b[31m\n"], "long": ["x" * 100_000]}.get(ask.prompt)
    for who in ("base", "tuned") if ask.who == "both" else (ask.who,):
        said = pieces or ANSWERS[who]
        if ask.prompt == "settings":
            said = [f"{ask.temperature} {ask.max_tokens} {ask.seed}"]
        for piece in said:
            say(Piece(ask.id, who, piece))
        if ask.prompt != "slow":
            say(Done(ask.id, who, "".join(said), len(said), True, False, ask.seed))
    return ask if ask.prompt == "slow" else None


def main(mode):
    say(Status("Loading a copy of bundled onto cpu, beside whatever else runs there."))
    if mode == "fatal":
        say(Failure("checkpoint.none", "run has no checkpoint yet", "Save one.", fatal=True))
        return 1
    if mode == "ready":
        say(Ready("bundled", "cpu", 30, 0.7, 32))
    unfinished = None
    for line in sys.stdin.buffer:
        match read_request(line):
            case Ask() as ask:
                unfinished = answer(ask)
            case Cancel():
                for who in ("base", "tuned"):
                    text = "".join(ANSWERS[who])
                    say(Done(unfinished.id, who, text, 2, False, True, unfinished.seed))
            case Quit():
                return 0
    return 0


sys.exit(main(sys.argv[1]))
