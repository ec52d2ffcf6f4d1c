"""From preset, file and settings to one configuration, each value knowing where it came from."""

import pytest

from ppo_tui.config.paths import with_absolute_paths
from ppo_tui.config.resolve import config_to_yaml, parse_config, parse_setting, resolve
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import ConfigError, ExitCode, PpoTuiError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def code_of(*arguments, error=ConfigError) -> str:
    with pytest.raises(error) as caught:
        resolve(*arguments)
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith((".", "?")) or ";" in caught.value.message
    return caught.value.code


def test_an_empty_file_is_all_defaults(file):
    resolved = resolve(file(""))
    assert resolved.config == RunConfig()
    assert resolved.name == "mine"
    assert resolved.origins == {}


def test_a_setting_wins_over_the_file_and_the_file_over_the_default(file):
    path = file("steps: 5\nppo:\n  clip: 0.1\n  lam: 0.9\n")
    resolved = resolve(path, ["ppo.clip=0.3", "seed=7"])
    config, origins = resolved.config, resolved.origins
    assert (config.steps, config.ppo.clip, config.ppo.lam, config.seed) == (5, 0.3, 0.9, 7)
    assert config.ppo.gamma == 1.0
    assert origins["steps"] == path
    assert origins["ppo.lam"] == path
    assert origins["ppo.clip"] == "--set"
    assert origins["seed"] == "--set"
    assert "ppo.gamma" not in origins


def test_the_last_of_two_settings_wins(file):
    assert resolve(file(""), ["steps=3", "steps=4"]).config.steps == 4


def test_a_preset_is_named_as_the_origin():
    resolved = resolve("demo", ["steps=2"])
    assert resolved.name == "demo"
    assert resolved.origins["optim.lr"] == "preset demo"
    assert resolved.origins["steps"] == "--set"


def test_a_preset_of_ones_own_hides_a_shipped_one(home):
    (home / "presets").mkdir(parents=True)
    (home / "presets/demo.yaml").write_text("steps: 3\n")
    assert resolve("demo").config == RunConfig(steps=3)


def test_a_setting_in_a_preset_does_not_change_the_preset():
    assert resolve("demo", ["reward.terms.0.weight=9"]).config.reward.terms[0].weight == 9
    assert resolve("demo").config.reward.terms[0].weight == 1


def test_a_whole_group_can_be_set(file):
    resolved = resolve(file("ppo: {clip: 0.1, lam: 0.9}"), ["ppo={clip: 0.3}"])
    assert resolved.config.ppo.clip == 0.3
    assert resolved.config.ppo.lam == 0.95
    assert resolved.origins["ppo.clip"] == "--set"
    assert "ppo.lam" not in resolved.origins


def test_an_entry_of_a_list_can_be_set(file):
    path = file("reward: {terms: [{kind: sentiment}, {kind: repetition}]}")
    resolved = resolve(
        path, ["reward.terms.1.ngram=2", "reward.terms.0={kind: sentiment, weight: 2}"]
    )
    assert resolved.config.reward.terms[1].ngram == 2
    assert resolved.config.reward.terms[0].weight == 2


def test_a_list_can_be_set(file):
    config = resolve(file(""), ["adapter.targets=[q_proj, v_proj]"]).config
    assert config.adapter.targets == ("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("optim.lr=1e-4", ("optim.lr", 1e-4)),
        (" steps = 3", ("steps", 3)),
        ("data.column=", ("data.column", None)),
        ("data.template=a=b", ("data.template", "a=b")),
        ("description='1'", ("description", "1")),
    ],
)
def test_a_settings_value_is_read_as_yaml(setting, expected):
    assert parse_setting(setting) == expected


@pytest.mark.parametrize("setting", ["", "steps", "=3", "ppo.=3", ".clip=3", "ppo..clip=3"])
def test_a_setting_without_key_and_value_is_a_usage_error(file, setting):
    with pytest.raises(UsageError) as caught:
        resolve(file(""), [setting])
    assert caught.value.code == "usage.set"
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("steps.more=3", "config.unknown_key"),
        ("reward.terms.9.weight=3", "config.unknown_key"),
        ("reward.terms.first.weight=3", "config.unknown_key"),
        ("reward.terms.9=3", "config.unknown_key"),
        ("ppo.clip=[", "config.yaml"),
        ("ppo=3", "config.invalid_value"),
        ("ppo.clip.low=3", "config.unknown_key"),
        ("reward.terms.²=3", "config.unknown_key"),
    ],
)
def test_a_setting_that_leads_nowhere_is_refused(file, setting, code):
    path = file("steps: 1\nppo: {clip: 0.1}\nreward: {terms: [{kind: sentiment}]}")
    assert code_of(path, [setting]) == code


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("stpes: 3", "stpes", "steps"),
        ("ppo: {kl_coeff: 0.1}", "kl_coeff", "kl_coef"),
        ("rollout: {batchsize: 8}", "batchsize", "batch_size"),
        ("reward: {terms: [{kind: sentiment, wieght: 2}]}", "wieght", "weight"),
        (
            "reward: {terms: [{kind: length, target: 3, tolerance: 1, units: words}]}",
            "units",
            "unit",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(file, text, key, near):
    path = file(text)
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    assert caught.value.code == "config.unknown_key"
    assert repr(key) in caught.value.message
    assert f"did you mean {near!r}?" in caught.value.message
    assert path in caught.value.message


def test_an_unknown_key_comes_before_what_it_causes(file):
    path = file("reward: {terms: [{kind: length, target: 3, tolerence: 1}]}")
    with pytest.raises(ConfigError, match="did you mean 'tolerance'") as caught:
        resolve(path)
    assert caught.value.hint == "1 more problem after this one."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: 0", "steps: must be 1 or more (given: 0)."),
        ("steps: many", "steps: must be a whole number"),
        ("steps: 1.5", "steps: must be a whole number"),
        ("optim: {lr: .nan}", "optim.lr: must be a finite number (given: nan)."),
        ("optim: {lr: .inf}", "optim.lr: must be a finite number (given: inf)."),
        ("ppo: {clip: 1}", "ppo.clip: must be below 1 (given: 1)."),
        ("ppo: {value: both}", "ppo.value: must be 'head' or 'adapter'"),
        ("ppo: 3", "ppo: "),
        ("ppo: null", "ppo: "),
        ("device: tpu", "device: "),
        ("model: {name: ''}", "model.name: "),
        ("rollout: {batch_size: 6}", "must be a multiple of ppo.minibatches (4)"),
        ("rollout: {batch_size: 8, samples_per_prompt: 3}", "multiple of samples_per_prompt"),
        ("optim: {warmup_steps: 100}", "optim.warmup_steps (100) must be less than steps (100)"),
        ("optim: {betas: [0.9, 1.0]}", "betas must lie in [0, 1)"),
        ("optim: {schedule: adaptive, lr: 1}", "lr must lie between min_lr and max_lr"),
        ("data: {template: hello}", "template must contain {prompt}, or be chat"),
        ("data: {system: hello}", "system needs template: chat"),
        ("adapter: {targets: []}", "targets must name at least one layer"),
        ("adapter: {targets: 3}", "adapter.targets: "),
        ("reward: {terms: [{kind: human}, {kind: human, name: b}]}", "only one human term"),
        ("reward: {kind: human, pessimism: -1}", "reward.terms.0.pessimism: must be 0 or more"),
        ("reward: {kind: adapter}", "reward.terms.0.path: field required"),
        ("reward: 3", "reward: "),
        ("ratings: {mode: wait}", "ratings.mode: wait needs a reward term of kind human"),
        ("ratings: {use: [a.jsonl]}", "ratings.use needs a reward term of kind human"),
        ("ratings: {first: 3}", "ratings.first: must be 5 or more"),
        ("reward: {terms: []}", "reward.terms: "),
        ("reward: {terms: [{kind: regex, pattern: '['}]}", "not a regular expression"),
        ("reward: {terms: [{kind: keywords}]}", "needs at least one word"),
        ("reward: {terms: [{kind: sentiment}, {kind: sentiment}]}", "two terms are called"),
        ("reward: {terms: [{kind: sentiment, name: total}]}", "the name is taken"),
        ("reward: {terms: [{kind: sentimant}]}", "did you mean 'sentiment'?"),
        ("reward: {terms: [{}]}", "reward.terms.0"),
        ("reward: {terms: [3]}", "reward.terms.0"),
        ("schema_version: 0", "schema_version: "),
        ("task: classify", "task: "),
    ],
)
def test_a_bad_value_gets_one_sentence(file, text, words):
    path = file(text)
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    assert caught.value.code == "config.invalid_value"
    assert caught.value.exit_code == ExitCode.CONFIG
    assert words in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")
    assert "\n" not in caught.value.message


def test_a_long_value_is_not_repeated_in_full(file):
    path = file(f"device: {'x' * 500}")
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    assert len(caught.value.message) < len(path) + 200


@pytest.mark.parametrize("text", ["[]", "3", "hello", "- steps: 1"])
def test_a_file_that_is_no_mapping_is_refused(file, text):
    assert code_of(file(text)) == "config.not_a_mapping"


def test_a_newer_schema_is_refused(file):
    with pytest.raises(ConfigError, match="use a newer ppo-tui") as caught:
        resolve(file("schema_version: 2\nsomething_new: 3\n"))
    assert caught.value.code == "config.newer_schema"


def test_an_unknown_preset_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'demo'") as caught:
        resolve("dmeo")
    assert caught.value.code == "config.unknown_preset"


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert code_of(str(tmp_path / "none.yaml")) == "config.missing"


def test_a_folder_is_no_configuration(tmp_path):
    assert code_of(str(tmp_path)) == "config.is_folder"


def test_reward_kinds_of_other_packages_are_known_by_entry_point(file, monkeypatch):
    from importlib.metadata import EntryPoint, EntryPoints

    from ppo_tui.config import rewards

    point = EntryPoint("spelling", "no.such.module:reward", rewards.ENTRY_POINT_GROUP)
    monkeypatch.setattr(rewards, "entry_points", lambda group: EntryPoints([point]))
    path = file("reward: {terms: [{kind: spelling, weight: 2, options: {language: en}}]}")
    term = resolve(path).config.reward.terms[0]
    assert (term.kind, term.weight, term.options) == ("spelling", 2, {"language": "en"})


def test_a_kind_that_no_package_has_is_refused(file):
    assert code_of(file("reward: {terms: [{kind: spelling}]}")) == "config.invalid_value"


def test_the_resolved_configuration_says_where_each_value_came_from(file):
    path = file("ppo: {clip: 0.1}\nreward: {terms: [{kind: sentiment}]}\n")
    text = resolve(path, ["steps=5"]).to_yaml()
    lines = text.splitlines()
    assert f"  clip: 0.1  # {path}" in lines
    assert f"  terms:  # {path}" in lines
    assert "steps: 5  # --set" in lines
    assert "  gamma: 1.0" in lines
    assert parse_config(text, "again") == resolve(path, ["steps=5"]).config


def test_a_description_of_many_lines_survives(file):
    config = RunConfig(description="one\n\n  two: # three\n'\"", seed=3)
    origins = {"description": "a # file\nname", "seed": "--set"}
    assert parse_config(config_to_yaml(config, origins), "again") == config


def test_the_config_loads_neither_torch_nor_textual():
    import subprocess
    import sys

    code = (
        "import sys; from ppo_tui.config.resolve import resolve; resolve('demo')\n"
        "sys.exit(len({'torch', 'transformers', 'textual'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_refusal_is_an_error_of_our_own():
    assert issubclass(ConfigError, PpoTuiError)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("reward=human", {"kind": "human", "from": None}),
        ("reward={kind: human, from: /a/b}", {"kind": "human", "from": "/a/b"}),
        ("reward={kind: adapter, path: /a/b}", {"kind": "adapter", "path": "/a/b"}),
    ],
)
def test_a_reward_of_one_term_may_stand_without_a_list(setting, expected):
    (term,) = resolve("demo", [setting]).config.model_dump(mode="json")["reward"]["terms"]
    assert expected.items() <= term.items()


def test_from_is_written_and_read_back_under_its_name(tmp_path):
    resolved = with_absolute_paths(resolve("demo", ["reward={kind: human, from: mine}"]), tmp_path)
    (term,) = parse_config(resolved.to_yaml(), "config.yaml").reward.terms
    assert term.source == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("adapter.rnk=3", "there is no setting 'rnk' in adapter; did you mean 'rank'?"),
        ("reward={kind: human, form: x}", "'form' in reward.terms.0; did you mean 'from'?"),
    ],
)
def test_a_group_and_a_kind_of_the_same_name_are_told_apart(setting, words):
    with pytest.raises(ConfigError) as caught:
        resolve("demo", [setting])
    assert words in caught.value.message
