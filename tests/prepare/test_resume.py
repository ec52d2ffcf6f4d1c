import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.errors import ConfigError, DataError, RunBusy, RunError
from ppo_tui.prepare.resume import copied_settings, resume_run, stored_config
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import write_state


@pytest.fixture
def make(tmp_path):
    def make_run(name="demo-20261125-084220", *settings):
        text = "# preset: demo\n" + resolve("demo", settings).to_yaml()
        return RunDirectory.create(tmp_path / name, text, total=4)

    return make_run


def test_settings_are_copied_with_the_run_as_the_origin_of_what_is_no_default(make):
    run = make("demo-20261125-084220", "ppo.kl_coef=0.3")
    copied = copied_settings(run)
    assert copied.config == resolve("demo", ["ppo.kl_coef=0.3"]).config
    assert copied.name == "demo"
    assert copied.origins["ppo.kl_coef"] == "run demo-20261125-084220"
    assert "ppo.gamma" not in copied.origins


def test_a_run_of_another_name_gives_its_whole_name_to_the_copy(make):
    assert copied_settings(make("my-run")).name == "my-run"


def test_settings_that_this_version_does_not_know_are_not_copied_silently(make):
    run = make()
    run.config_path.write_text("ppo:\n  kl_coeff: 0.1\n")
    with pytest.raises(ConfigError, match="did you mean 'kl_coef'"):
        copied_settings(run)


def test_a_configuration_that_cannot_be_read_is_told(make):
    run = make()
    run.config_path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="is not UTF-8 text") as caught:
        stored_config(run)
    assert caught.value.code == "run.config"


def test_a_run_that_is_at_work_is_not_resumed(make):
    run = make()
    with RunLock(run), pytest.raises(RunBusy, match="is running already"):
        resume_run(run)


def test_a_finished_run_is_not_resumed(make):
    run = make()
    write_state(run, RunState(Phase.FINISHED, 4, 4, current_process()))
    with pytest.raises(RunError, match="nothing to go on with") as caught:
        resume_run(run)
    assert caught.value.code == "run.finished"


def test_what_a_resume_would_fail_on_is_told_before_a_worker_is_started(make, tmp_path):
    run = make("demo-1", f"data.prompts={tmp_path / 'gone.txt'}")
    with pytest.raises(DataError, match=r"gone\.txt"):
        resume_run(run)
    assert not run.launch_path.exists()
