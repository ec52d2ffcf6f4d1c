"""A run that was interrupted goes on as if it never had been; half a checkpoint is none."""

import json
import math
import shutil

import pytest
import torch

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.errors import CheckpointError, StorageError
from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state
from ppo_tui.training.checkpoint import checkpoint_name, load_checkpoint, save_checkpoint
from ppo_tui.training.session import Session
from training.toys import make_config, make_trainer

EVERYTHING = {
    "reward": {"scaling": "running", "clip": 3.0, "whiten": True},
    "rollout": {"temperature": 0.9, "missing_eos_penalty": 0.5},
    "ppo": {"value": "adapter", "kl_controller": "adaptive", "kl_horizon": 50.0},
    "optim": {"schedule": "adaptive", "warmup_steps": 1, "lr": 5e-3, "kl_target": 1e-3},
}


def train(trainer, steps):
    """So many steps; their metrics without those that depend on the clock or on the process."""
    records = []
    for record in trainer.steps():
        records.append(
            {
                name: value
                for name, value in record.metrics.items()
                if not name.startswith(("time/", "throughput/", "memory/"))
            }
        )
        if len(records) == steps:
            break
    return records


def everything(trainer):
    """All tensors that the next step depends on."""
    roles = trainer.roles
    tensors = [*roles.policy_parameters(), *roles.value_parameters()]
    for state in trainer.optimizer.state_dict()["state"].values():
        tensors += [state[key] for key in sorted(state)]
    return [
        *(t.detach().clone() for t in tensors),
        trainer.sampling_rng.get_state(),
        trainer.shuffle_rng.get_state(),
    ]


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["plain", "everything adaptive"])
def test_two_steps_saved_and_two_more_are_four_steps_to_the_last_bit(
    small_config, tmp_path, changes
):
    config = small_config(**changes)
    straight = make_trainer(config)
    whole = train(straight, 4)
    first = make_trainer(config)
    begun = train(first, 2)
    path = save_checkpoint(tmp_path, first, {"mine": 7})
    second = make_trainer(config)
    assert load_checkpoint(path, second) == {"mine": 7}
    assert second.step == 2
    resumed = begun + train(second, 2)
    assert json.dumps(resumed) == json.dumps(whole)
    assert all(
        torch.equal(a, b) for a, b in zip(everything(straight), everything(second), strict=True)
    )
    assert straight.state_dict() == second.state_dict()


def test_saving_changes_nothing_about_the_run_that_goes_on(small_config, tmp_path):
    config = small_config(ppo={"value": "adapter"})
    quiet, saving = make_trainer(config), make_trainer(config)
    whole = train(quiet, 3)
    seen = []
    for _ in range(3):
        seen += train(saving, 1)
        save_checkpoint(tmp_path, saving, {})
    assert json.dumps(seen) == json.dumps(whole)
    assert all(
        torch.equal(a, b) for a, b in zip(everything(quiet), everything(saving), strict=True)
    )


def test_evaluating_changes_nothing_about_the_training(small_config):
    config = small_config(reward={"scaling": "running"})
    quiet, evaluating = make_trainer(config), make_trainer(config)
    whole, seen = train(quiet, 3), []
    for _ in range(3):
        seen += train(evaluating, 1)
        evaluating.evaluate()
    assert json.dumps(seen) == json.dumps(whole)


def test_what_was_set_by_hand_survives(small_config, tmp_path):
    first = make_trainer(small_config(optim={"schedule": "cosine"}))
    train(first, 1)
    first.kl.coef = 0.7
    first.learning_rate.scale_to(0.003, first.step)
    second = make_trainer(small_config(optim={"schedule": "cosine"}))
    load_checkpoint(save_checkpoint(tmp_path, first, {}), second)
    assert second.kl.coef == 0.7
    assert second.learning_rate.at(1) == pytest.approx(0.003)
    assert second.learning_rate.at(2) == first.learning_rate.at(2)


@pytest.fixture(scope="module")
def saved(model_folder, prompts_file, tmp_path_factory):
    """A run's folder of checkpoints with those of steps 1 and 2."""
    trainer = make_trainer(make_config(model_folder("llama"), prompts_file))
    folder = tmp_path_factory.mktemp("checkpoints")
    for _ in range(2):
        train(trainer, 1)
        save_checkpoint(folder, trainer, {})
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


def test_a_checkpoint_holds_what_its_manifest_names_and_nothing_else(saved):
    path = saved / "step-000002"
    names = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert names == {
        "manifest.json",
        "state.json",
        "heads.safetensors",
        "rng.safetensors",
        "optimizer.pt",
        "policy/adapter_model.safetensors",
        "policy/adapter_config.json",
    }
    assert {file.stat().st_mode & 0o777 for file in path.rglob("*") if file.is_file()} == {0o600}


def test_the_adapter_in_a_checkpoint_can_be_loaded_by_peft(saved, small_config):
    from models import CPU, uneven_batch
    from peft import PeftModel

    from ppo_tui.policy.loading import load_base

    config = small_config()
    trainer = make_trainer(config)
    load_checkpoint(saved / "step-000002", trainer)
    tuned = PeftModel.from_pretrained(
        load_base(config.model, CPU).model, saved / "step-000002/policy"
    )
    ids, mask, positions = uneven_batch().model_inputs()
    with torch.no_grad():
        expected = tuned(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        with trainer.roles.sampling(merge=False) as trunk:
            logits = trunk.head(trunk(ids, mask, positions).features)
    assert (logits - expected)[mask.bool()].abs().max() < 1e-4


@pytest.mark.parametrize(
    "name",
    ["state.json", "optimizer.pt", "rng.safetensors", "policy/adapter_model.safetensors"],
)
def test_one_flipped_byte_is_found(copy, name):
    file = copy / "step-000002" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="has changed since it was written") as caught:
        verify_checkpoint(copy / "step-000002")
    assert caught.value.code == "checkpoint.damaged"
    assert name in caught.value.message


@pytest.mark.parametrize(
    "name", ["manifest.json", "heads.safetensors", "policy/adapter_config.json"]
)
def test_a_missing_file_is_found(copy, name):
    (copy / "step-000002" / name).unlink()
    with pytest.raises(CheckpointError, match="damaged") as caught:
        verify_checkpoint(copy / "step-000002")
    assert caught.value.code == "checkpoint.damaged"
    assert name in caught.value.message


def test_a_file_that_the_manifest_does_not_name_is_found(copy):
    (copy / "step-000002" / "more.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"more\.txt is not in its manifest"):
        verify_checkpoint(copy / "step-000002")


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"v": "x", "sha256": {}}', "\x00"])
def test_a_manifest_that_is_none_is_damage(copy, content):
    (copy / "step-000002" / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        verify_checkpoint(copy / "step-000002")
    assert caught.value.code == "checkpoint.damaged"


def test_a_checkpoint_of_a_newer_version_is_not_called_damaged(copy):
    (copy / "step-000002" / "manifest.json").write_text('{"v": 99, "sha256": {}}')
    with pytest.raises(CheckpointError) as caught:
        verify_checkpoint(copy / "step-000002")
    assert caught.value.code == "checkpoint.newer_schema"


def test_a_damaged_checkpoint_leaves_the_trainer_as_it_was(copy, small_config):
    trainer = make_trainer(small_config())
    before = everything(trainer)
    (copy / "step-000002" / "rng.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        load_checkpoint(copy / "step-000002", trainer)
    assert trainer.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, everything(trainer), strict=True))


def test_partial_folders_files_and_links_are_no_checkpoints(copy):
    (copy / ".step-000009.partial").mkdir()
    (copy / "step-000010").write_text("")
    (copy / "step-000011").symlink_to(copy / "step-000001")
    (copy / "step-12").mkdir()
    assert [step for step, _ in list_checkpoints(copy)] == [2, 1]


def test_there_are_no_checkpoints_where_there_is_no_folder(tmp_path):
    assert list_checkpoints(tmp_path / "nothing") == []


def test_names_sort_like_steps():
    assert [checkpoint_name(step) for step in (7, 120, 1_234_567)] == [
        "step-000007",
        "step-000120",
        "step-1234567",
    ]


def test_only_the_newest_are_kept(small_config, tmp_path):
    trainer = make_trainer(small_config())
    for _ in range(4):
        train(trainer, 1)
        save_checkpoint(tmp_path, trainer, {}, keep=2)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [4, 3]


def test_what_was_just_saved_is_kept_though_a_later_one_lies_there(small_config, tmp_path):
    # A run that fell back behind a damaged checkpoint.
    trainer = make_trainer(small_config())
    (tmp_path / "step-000009").mkdir()
    train(trainer, 1)
    path = save_checkpoint(tmp_path, trainer, {}, keep=1)
    assert list_checkpoints(tmp_path) == [(1, path)]


def test_the_same_step_can_be_saved_again(small_config, tmp_path):
    trainer = make_trainer(small_config())
    save_checkpoint(tmp_path, trainer, {"time": 1})
    path = save_checkpoint(tmp_path, trainer, {"time": 2})
    assert verify_checkpoint(path)["extra"] == {"time": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000"]


def test_changed_prompts_are_refused(saved, model_folder, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("one\ntwo\nthree\nfour\n")
    trainer = make_trainer(make_config(model_folder("llama"), other))
    with pytest.raises(CheckpointError, match="prompts") as caught:
        load_checkpoint(saved / "step-000002", trainer)
    assert caught.value.code == "checkpoint.prompts_changed"


@pytest.mark.parametrize(
    "changes",
    [{"adapter": {"rank": 8}}, {"ppo": {"value": "adapter"}}, {"adapter": {"targets": ["q_proj"]}}],
    ids=["rank", "critic", "targets"],
)
def test_a_checkpoint_of_other_settings_does_not_fit(saved, small_config, changes):
    with pytest.raises(CheckpointError, match="fit") as caught:
        load_checkpoint(saved / "step-000002", make_trainer(small_config(**changes)))
    assert caught.value.code == "checkpoint.mismatch"
    assert "\n" not in caught.value.message


def test_a_write_that_fails_leaves_no_half_checkpoint(small_config, tmp_path):
    import resource

    trainer = make_trainer(small_config())
    train(trainer, 1)
    save_checkpoint(tmp_path, trainer, {})
    train(trainer, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 5_000, 60_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(StorageError) as caught:
                save_checkpoint(tmp_path, trainer, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "\n" not in caught.value.message
        assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


# ---- the same by a session, with its journals


def make_run(folder, config):
    return RunDirectory.create(folder, config_to_yaml(config), total=config.steps)


def journals(run):
    """Both journals without times and without what a resume adds."""
    events = [
        {key: value for key, value in event.items() if key != "time"}
        for event in read_journal(run.events_path).records
        if event["kind"] not in ("log", "state")
    ]
    for event in events:
        event["metrics"] = {
            name: value
            for name, value in event.get("metrics", {}).items()
            if not name.startswith(("time/", "throughput/", "memory/"))
        }
    samples = [
        {key: value for key, value in sample.items() if key != "time"}
        for sample in read_journal(run.samples_path).records
    ]
    return events, samples


class Stop:
    """A stop signal that comes when a run has done so many steps."""

    def __init__(self, run, step):
        self._run, self._step = run, step

    def __call__(self):
        return read_state(self._run).step >= self._step


def test_a_stopped_and_resumed_run_has_the_journals_of_one_that_was_never_stopped(
    small_config, tmp_path
):
    config = small_config(checkpoint={"every": 2}, eval={"every": 2}, **EVERYTHING)
    straight, halved = make_run(tmp_path / "a", config), make_run(tmp_path / "b", config)
    assert Session(straight).execute() is Phase.FINISHED
    assert Session(halved, Stop(halved, 2)).execute() is Phase.STOPPED
    assert read_state(halved).state is Phase.STOPPED
    assert Session(halved).execute() is Phase.FINISHED
    assert journals(halved) == journals(straight)
    one, other = (
        verify_checkpoint(run.checkpoints_path / "step-000004")["trainer"]
        for run in (straight, halved)
    )
    assert one == other


def test_a_session_falls_back_to_the_older_checkpoint_and_says_so(small_config, tmp_path):
    config = small_config(checkpoint={"every": 1})
    straight, damaged = make_run(tmp_path / "a", config), make_run(tmp_path / "b", config)
    Session(straight).execute()
    Session(damaged, Stop(damaged, 3)).execute()
    assert [step for step, _ in list_checkpoints(damaged.checkpoints_path)] == [3, 2]
    (damaged.checkpoints_path / "step-000003" / "optimizer.pt").unlink()
    assert Session(damaged).execute() is Phase.FINISHED
    steps, _ = journals(damaged)
    assert [e["step"] for e in steps if e["kind"] == "step"] == [1, 2, 3, 4]
    assert journals(damaged)[1] == journals(straight)[1]
    logs = [e["message"] for e in read_journal(damaged.events_path).records if e["kind"] == "log"]
    assert any("step-000003 is damaged: optimizer.pt is missing" in message for message in logs)
    assert "Resumed after step 2." in logs


def test_a_run_whose_only_checkpoint_is_damaged_fails_instead_of_starting_over(
    small_config, tmp_path
):
    run = make_run(tmp_path / "run", small_config(checkpoint={"every": 1, "keep": 1}))
    Session(run, Stop(run, 1)).execute()
    (run.checkpoints_path / "step-000001" / "manifest.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        Session(run).execute()
    assert caught.value.code == "checkpoint.damaged"
    assert read_state(run).state is Phase.FAILED
    assert read_state(run).error.code == "checkpoint.damaged"
    assert [e["step"] for e in journals(run)[0] if e["kind"] == "step"] == [1]


def test_a_journal_that_lost_lines_makes_a_session_fall_back_too(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(checkpoint={"every": 1}))
    Session(run, Stop(run, 2)).execute()
    text = run.samples_path.read_bytes().splitlines(keepends=True)
    run.samples_path.write_bytes(b"".join(text[:10]))  # 8 of step 1, 2 of step 2
    assert Session(run).execute() is Phase.FINISHED
    ids = [sample["id"] for sample in journals(run)[1]]
    assert ids == [f"{step}-{i}" for step in (1, 2, 3, 4) for i in range(8)]


def test_a_finished_run_that_is_resumed_trains_no_more(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(steps=2))
    Session(run).execute()
    before = journals(run)
    assert Session(run).execute() is Phase.FINISHED
    assert journals(run) == before


def test_numbers_that_are_not_finite_are_null_in_the_journal(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(steps=1, rollout={"response_tokens": 1}))
    Session(run).execute()
    (step,) = [e for e in read_journal(run.events_path).records if e["kind"] == "step"]
    assert step["metrics"]["response/distinct_2"] is None
    assert math.isfinite(step["metrics"]["policy/loss"])
