"""A function in the user's own file: what it may do, and what is said when it fails."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from trusting import confirmed

from ppo_tui.config.rewards import PythonTerm
from ppo_tui.errors import ExitCode, ResourceError, RewardError
from ppo_tui.rewards import Sample, WeightedSum

Reward = Callable[[str], WeightedSum]
Make = Callable[..., list[Sample]]
Answering = Callable[[str], Sequence[float]]

RETURNS_LENGTHS = """
def reward(prompts, responses):
    return [len(response) for response in responses]
"""


def test_the_function_gets_prompts_and_responses_as_lists_of_text(python_reward: Reward) -> None:
    reward = python_reward(
        "def reward(*, prompts, responses):\n"
        "    assert prompts == ['p1', 'p2'] and responses == ['r1', 'r2']\n"
        "    return [1, 2]\n"
    )
    samples = [Sample("p1", "r1", True), Sample("p2", "r2", False)]
    assert reward.score(samples).total == (1.0, 2.0)


def test_another_function_can_be_named(tmp_path: Path, samples: Make) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def other(prompts, responses): return [7 for _ in responses]")
    reward = WeightedSum([PythonTerm(path=str(confirmed(path)), function="other")])
    assert reward.score(samples("a")).total == (7.0,)


@pytest.mark.parametrize(
    "expression",
    [
        "[1, 0, 1]",
        "(1.0, 0.0, 1.0)",
        "[True, False, True]",
        "(float('t' not in r or 'h' in r) for r in responses)",
        "map(float, '101')",
        "__import__('fractions').Fraction(1, 1), 0, 1",
        "__import__('numpy').array([1, 0, 1])",
        "list(__import__('numpy').array([1, 0, 1], dtype='float16'))",
        "__import__('torch').tensor([1.0, 0.0, 1.0], requires_grad=True)",
        "list(__import__('torch').tensor([1.0, 0.0, 1.0], requires_grad=True))",
        "__import__('torch').tensor([1, 0, 1], dtype=__import__('torch').bfloat16)",
    ],
)
def test_whatever_stands_for_one_number_each_is_taken(
    answering: Answering, expression: str
) -> None:
    scores = answering(expression)
    assert scores == (1.0, 0.0, 1.0)
    assert all(type(score) is float for score in scores)


@pytest.mark.parametrize(
    ("expression", "code", "sentence"),
    [
        ("[1, 2]", "reward.count", "it returned 2 scores for 3 responses"),
        ("[1, 2, 3, 4]", "reward.count", "it returned 4 scores for 3 responses"),
        ("[]", "reward.count", "it returned 0 scores for 3 responses"),
        ("iter(int, 1)", "reward.count", "it returned more than 3 scores for 3 responses"),
        ("None", "reward.count", "it returned None where a list of 3 numbers was expected"),
        ("0.5", "reward.count", "it returned 0.5 (float) where a list of 3 numbers"),
        ("'abc'", "reward.count", "it returned 'abc' where a list of 3 numbers"),
        ("{1, 2, 3}", "reward.count", "it returned {1, 2, 3} (set) where"),
        ("{'a': 1}", "reward.count", "it returned {'a': 1} (dict) where"),
        ("__import__('numpy').array(1)", "reward.count", "it returned 1 (int) where"),
        ("[1, float('nan'), 1]", "reward.not_finite", "it returned nan for responses[1] = 'two'"),
        ("[1, 1, float('-inf')]", "reward.not_finite", "-inf for responses[2] = 'three'"),
        ("[10**400, 1, 1]", "reward.not_finite", "it returned inf for responses[0] = 'one'"),
        ("[1, None, 1]", "reward.not_number", "it returned None for responses[1] = 'two', which"),
        ("[1, 1, '0.5']", "reward.not_number", "it returned '0.5' for responses[2] = 'three'"),
        ("[1j, 1, 1]", "reward.not_number", "it returned 1j (complex) for responses[0]"),
        ("[[1], [2], [3]]", "reward.not_number", "it returned [1] (list) for responses[0]"),
        ("__import__('numpy').ones((3, 1))", "reward.not_number", "[1.0] (list) for responses[0]"),
        ("list(__import__('numpy').ones((3, 1)))", "reward.not_number", "array([1.]) (ndarray)"),
    ],
)
def test_any_other_answer_is_one_clear_sentence(
    answering: Answering, expression: str, code: str, sentence: str
) -> None:
    with pytest.raises(RewardError) as caught:
        answering(expression)
    assert caught.value.code == code
    assert caught.value.exit_code is ExitCode.FAILED
    assert caught.value.message.startswith("Reward term 'python': it returned ")
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_the_response_in_an_error_is_escaped_and_shortened(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward("def reward(prompts, responses): return [float('nan')]")
    with pytest.raises(RewardError) as caught:
        reward.score(samples("\x1b[31m" + "a" * 500))
    assert r"responses[0] = '\x1b[31maaaaa" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 200


def test_an_exception_is_named_with_its_message_and_the_line_of_the_file(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward(
        "import json\n"
        "\n"
        "def reward(prompts, responses):\n"
        "    return [helper(response) for response in responses]\n"
        "\n"
        "def helper(response):\n"
        "    return json.loads(response)\n"
    )
    with pytest.raises(RewardError) as caught:
        reward.score(samples("{"))
    assert caught.value.code == "reward.raised"
    assert "Reward term 'python': reward() in " in caught.value.message
    assert caught.value.message.endswith(
        "mine.py raised JSONDecodeError: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1) (line 7)."
    )


def test_an_exception_while_a_generator_is_read_names_its_line(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward("def reward(prompts, responses):\n    yield 1\n    yield 1 / 0\n")
    with pytest.raises(RewardError, match=r"ZeroDivisionError: division by zero \(line 3\)\.$"):
        reward.score(samples("a", "b"))


def test_an_exception_with_control_characters_stays_one_printable_line(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward(
        "def reward(prompts, responses):\n    raise ValueError('a\\nb\\x1b[2J')\n"
    )
    with pytest.raises(RewardError) as caught:
        reward.score(samples("a"))
    assert r"ValueError: a\nb\x1b[2J (line 2)." in caught.value.message


def test_an_exception_that_cannot_be_shown_is_named_by_its_type(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward(
        "class Odd(Exception):\n"
        "    def __str__(self): return 1 / 0\n"
        "def reward(prompts, responses): raise Odd\n"
    )
    with pytest.raises(RewardError, match=r"raised Odd \(line 3\)"):
        reward.score(samples("a"))


def test_an_answer_whose_repr_fails_is_an_error_like_any_other(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward(
        "class Odd:\n"
        "    def __repr__(self): return 1 / 0\n"
        "def reward(prompts, responses): return [Odd()]\n"
    )
    with pytest.raises(RewardError) as caught:
        reward.score(samples("a"))
    assert caught.value.code == "reward.not_number"


def test_sys_exit_in_a_reward_is_a_failure_and_no_end(python_reward: Reward, samples: Make) -> None:
    reward = python_reward("import sys\ndef reward(prompts, responses): sys.exit(0)\n")
    with pytest.raises(RewardError, match=r"raised SystemExit: 0 \(line 2\)"):
        reward.score(samples("a"))


def test_ctrl_c_in_a_reward_is_not_taken_for_its_failure(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward("def reward(prompts, responses): raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        reward.score(samples("a"))


def test_what_the_file_prints_goes_to_stderr(
    python_reward: Reward, samples: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    reward = python_reward(
        "print('imported')\ndef reward(prompts, responses):\n    print('called')\n    return [1]\n"
    )
    assert reward.score(samples("a")).total == (1.0,)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "imported\ncalled\n")


def test_a_missing_file_is_a_missing_resource(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"nowhere\.py does not exist; path is rel") as caught:
        WeightedSum([PythonTerm(path=str(tmp_path / "nowhere.py"))])
    assert caught.value.code == "reward.file_missing"
    assert caught.value.exit_code is ExitCode.MISSING


@pytest.mark.parametrize("path", ["~no-such-user/a.py", "a\0b.py"])
def test_an_impossible_path_is_a_missing_resource(path: str) -> None:
    with pytest.raises(ResourceError, match=r"The reward file .* does not exist") as caught:
        WeightedSum([PythonTerm(path=path)])
    assert "\0" not in caught.value.message


def test_a_folder_is_not_a_reward_file(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="it is a folder") as caught:
        WeightedSum([PythonTerm(path=str(tmp_path))])
    assert caught.value.code == "reward.file_unreadable"


def test_a_file_that_may_not_be_read_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RETURNS_LENGTHS)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may read everything.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ResourceError, match=r"cannot be read: Permission denied\."):
        WeightedSum([PythonTerm(path=str(path))])


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name' (line 1)."),
        ("x = 1\n\nx +\n", "cannot be imported: SyntaxError: invalid syntax (line 3)."),
        ("\n\nraise ValueError('no key')", "ValueError: no key (line 3)."),
        ("import sys\nsys.exit('bye')", "SystemExit: bye (line 2)."),
        ("x = 1\0", "mine.py cannot be imported: "),
    ],
)
def test_a_file_that_cannot_be_imported_names_the_line(
    python_reward: Reward, source: str, end: str
) -> None:
    with pytest.raises(RewardError) as caught:
        python_reward(source)
    assert caught.value.code == "reward.import"
    assert end in caught.value.message


def test_a_file_that_is_not_utf8_cannot_be_imported(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"name = '\xff'\n")
    confirmed(path)
    with pytest.raises(RewardError, match="cannot be imported: SyntaxError"):
        WeightedSum([PythonTerm(path=str(path))])


def test_a_file_that_cannot_be_imported_leaves_no_module_behind(python_reward: Reward) -> None:
    before = set(sys.modules)
    with pytest.raises(RewardError):
        python_reward("1 / 0")
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def rewards(prompts, responses): ...", "no function 'reward' (did you mean 'rewards'?)."),
        ("x = 1", "has no function 'reward' (there are none)."),
        ("reward = 1", "has 'reward', but that is a int, not a function."),
        ("async def reward(prompts, responses): ...", "an async function; it must be a plain one."),
        ("def reward(texts): ...", "with the keyword arguments prompts and responses."),
    ],
)
def test_a_file_without_the_right_function_is_refused_before_the_run(
    python_reward: Reward, source: str, sentence: str
) -> None:
    with pytest.raises(RewardError) as caught:
        python_reward(source)
    assert caught.value.code == "reward.function"
    assert sentence in caught.value.message


def test_a_callable_object_and_further_defaults_are_fine(
    python_reward: Reward, samples: Make
) -> None:
    reward = python_reward(
        "class Reward:\n"
        "    def __call__(self, prompts, responses, scale=2): return [scale for _ in prompts]\n"
        "reward = Reward()\n"
    )
    assert reward.score(samples("a")).total == (2.0,)


def test_dataclasses_work_in_a_reward_file(python_reward: Reward, samples: Make) -> None:
    reward = python_reward(
        "from __future__ import annotations\n"
        "from dataclasses import KW_ONLY, dataclass\n"
        "@dataclass\n"
        "class Options:\n"
        "    _: KW_ONLY\n"
        "    scale: float = 3\n"
        "def reward(prompts, responses): return [Options().scale]\n"
    )
    assert reward.score(samples("a")).total == (3.0,)


def test_nothing_is_written_beside_the_file(tmp_path: Path, python_reward: Reward) -> None:
    python_reward(RETURNS_LENGTHS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_changed_file_is_read_anew(python_reward: Reward, samples: Make) -> None:
    first = python_reward("def reward(prompts, responses): return [1]")
    second = python_reward("def reward(prompts, responses): return [2]")
    assert first.score(samples("a")).total == (1.0,)
    assert second.score(samples("a")).total == (2.0,)
