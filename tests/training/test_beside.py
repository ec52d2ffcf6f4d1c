"""Work beside the model's: its result or its error comes back, and it holds nobody up."""

import subprocess
import sys
import threading

import pytest

from ppo_tui.training.beside import Beside


def test_the_result_comes_back_as_often_as_it_is_asked_for():
    work = Beside(lambda: [3])
    assert work.result() == [3]
    assert work.result() is work.result()


def test_it_goes_on_while_its_maker_does_something_else():
    may_end = threading.Event()
    where = []

    def wait():
        where.append(threading.current_thread())
        assert may_end.wait(30)
        return "done"

    work = Beside(wait)
    may_end.set()  # would never be reached if the work were done at once
    assert work.result() == "done"
    assert where != [threading.current_thread()]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_an_error_is_raised_where_the_result_is_asked_for(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        Beside(fail).result()
    assert caught.value is error


def test_work_that_does_not_end_does_not_keep_the_process_from_ending():
    code = (
        "import threading\n"
        "from ppo_tui.training.beside import Beside\n"
        "begun = threading.Event()\n"
        "def for_ever():\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "Beside(for_ever)\n"
        "begun.wait()\n"
        "print('over', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")
