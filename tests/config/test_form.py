"""The settings as a form: what each is, how a typed text is read, what is wrong with it."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.draft import Draft, check, command_line, draft_of
from ppo_tui.config.form import form_fields, form_groups, read_text, term_kinds, text_of
from ppo_tui.config.presets import load_preset, save_preset
from ppo_tui.config.resolve import COMMAND_LINE, parse_config, resolve
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import ConfigError, StorageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def demo() -> Draft:
    return draft_of(resolve("demo"), "demo")


def leaves(model, prefix="") -> set[str]:
    found = set()
    for name, info in model.model_fields.items():
        inner = info.annotation
        if hasattr(inner, "model_fields"):
            found |= leaves(inner, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def test_every_setting_that_leaves_a_choice_is_in_the_form():
    assert leaves(RunConfig) - set(form_fields()) == {"schema_version", "task"}


def test_the_groups_stand_in_the_order_of_the_configuration():
    names = [group.name for group in form_groups()]
    assert names[:4] == ["run", "model", "adapter", "data"]
    assert form_groups()[7].documentation == (
        "Proximal policy optimisation (arXiv:1707.06347) with a KL penalty to the base model."
    )


def test_a_field_knows_its_kind_bounds_choices_and_documentation():
    fields = form_fields()
    rank = fields["adapter.rank"]
    assert (rank.kind, rank.bounds) == ("whole", "a whole number, at least 1, at most 1024")
    assert rank.default == 16
    assert fields["ppo.clip"].bounds == "a number, above 0, below 1"
    assert fields["seed"].bounds == "a whole number, at least 0"
    assert fields["optim.schedule"].choices == ("constant", "linear", "cosine", "adaptive")
    assert fields["reward.whiten"].kind == "switch"
    assert fields["reward.terms"].kind == "terms"
    assert fields["adapter.targets"].kind == "list"
    assert fields["ppo.value_clip"].optional
    assert fields["steps"].documentation == "PPO steps, each one batch of responses."


def test_how_a_run_is_carried_out_is_a_group_of_its_own_and_left_to_the_plan(demo):
    fields = form_fields()
    assert fields["engine.checkpointing"].choices == ("auto", "always", "never")
    assert fields["engine.rollout_weights"].choices == ("auto", "merged", "adapters")
    assert fields["engine.memory_gib"].optional
    assert fields["engine.memory_gib"].bounds == "a number, above 0"
    assert check(demo, "engine.memory_gib", "11.5").value == 11.5
    assert check(demo, "engine.checkpointing", "never").value == "never"
    assert check(demo, "engine.rollout_slots", "").value is None


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optim.lr", "1e-4", 1e-4),
        ("steps", "12", 12),
        ("reward.whiten", "yes", True),
        ("ppo.value_clip", "", None),
        ("ppo.value_clip", "null", None),
        ("data.template", "Q: {prompt} # a: b", "Q: {prompt} # a: b"),
        ("data.template", '"{prompt}\\n"', "{prompt}\n"),
        ("adapter.targets", "q_proj, v_proj", ["q_proj", "v_proj"]),
        ("adapter.targets", "[q_proj]", ["q_proj"]),
        ("adapter.targets", "all-linear", "all-linear"),
        ("optim.betas", "0.9, 0.95", [0.9, 0.95]),
        ("ppo.value", "head", "head"),
        ("model.revision", "true", "true"),
    ],
)
def test_a_typed_text_is_read_as_it_is_meant(demo, key, text, value):
    checked = check(demo, key, text)
    assert (checked.error, checked.conflict) == ("", "")
    assert checked.value == value


@pytest.mark.parametrize(
    ("key", "text", "error"),
    [
        ("steps", "0", "Must be 1 or more (given: 0)."),
        ("ppo.clip", "1", "Must be below 1 (given: 1)."),
        ("ppo.value", "hed", "Must be 'head' or 'adapter' (given: 'hed')."),
        ("data.template", "hello", "Template must contain {prompt}, or be chat."),
        ("optim.betas", "0.9, 1.5", "Betas must lie in [0, 1)."),
        ("adapter.targets", "", "Targets must name at least one layer, or be all-linear."),
        (
            "description",
            '"a" b',
            "Description is not valid YAML (line 1, column 5): expected '<document start>', but "
            "found '<scalar>'.",
        ),
        (
            "reward.terms",
            "- kind: lenth",
            "0.kind: unknown reward kind 'lenth'; did you mean 'length'? (given: 'lenth').",
        ),
        (
            "reward.terms",
            "- [",
            "reward.terms is not valid YAML (line 1, column 4): expected the node content, but "
            "found '<stream end>'.",
        ),
    ],
)
def test_what_breaks_a_settings_own_rules_is_an_error_in_a_sentence(demo, key, text, error):
    assert check(demo, key, text).error == error


@pytest.mark.parametrize("pattern", ["a{99999999999999999999}", "(" * 3000, "["])
def test_a_pattern_that_python_cannot_take_is_an_error_and_no_crash(demo, pattern):
    checked = check(demo, "reward.terms", f"- kind: regex\n  pattern: '{pattern}'")
    assert checked.error.startswith("0.pattern: not a regular expression: ")


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000, "\0", "!!python/none", "&a [*a]", "é: ["])
@pytest.mark.parametrize("key", ["steps", "optim.lr", "reward.terms", "adapter.targets", "seed"])
def test_whatever_is_typed_is_an_error_and_no_crash(demo, key, text):
    assert check(demo, key, text).error != ""


@pytest.mark.parametrize(
    ("key", "text", "conflict"),
    [
        (
            "rollout.batch_size",
            "100",
            "rollout.batch_size (100) must be a multiple of ppo.minibatches (8).",
        ),
        ("optim.warmup_steps", "36", "optim.warmup_steps (36) must be less than steps (36)."),
        ("data.system", "Be glad.", "data: system needs template: chat."),
    ],
)
def test_what_collides_with_another_setting_is_a_value_with_a_conflict(demo, key, text, conflict):
    checked = check(demo, key, text)
    assert checked.error == ""
    assert checked.conflict == conflict


def test_a_conflict_names_the_setting_that_was_changed(demo):
    assert demo.with_value("optim.warmup_steps", 36).problem() == (
        "optim.warmup_steps (36) must be less than steps (36).",
        "optim.warmup_steps",
    )
    assert demo.with_value("data.system", "Be glad.").problem()[1] == "data.system"
    assert demo.problem() == ("", "")


def test_a_setting_stays_editable_while_another_is_in_conflict(demo):
    broken = demo.with_value("rollout.batch_size", 100)
    assert check(broken, "optim.lr", "0.1").error == ""
    assert check(broken, "optim.lr", "-1").error.startswith("Must be above 0")
    assert check(broken, "ppo.minibatches", "4").conflict == ""


def test_a_value_equal_to_the_base_is_no_change(demo):
    changed = demo.with_value("steps", 5)
    assert changed.changes == {"steps": 5}
    assert changed.with_value("steps", 36).changes == {}


def test_changes_are_kept_when_the_preset_changes(demo):
    moved = (
        demo.with_value("steps", 200).with_value("seed", 7).on(resolve("sentiment"), "sentiment")
    )
    assert moved.changes == {"seed": 7}  # 200 steps is what that one has anyway
    assert moved.value("model.name") == "openai-community/gpt2"


def test_every_value_of_a_draft_knows_where_it_came_from(demo):
    resolved = demo.with_value("steps", 5).resolved()
    assert resolved.origins["steps"] == COMMAND_LINE
    assert resolved.origins["rollout.batch_size"] == "preset demo"
    assert resolved.config.steps == 5


def test_a_typed_path_is_made_absolute(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resolved = demo.with_value("data.prompts", "mine.txt").resolved()
    assert resolved.config.data.prompts == str(tmp_path / "mine.txt")


def test_a_relative_path_of_a_file_stays_relative_to_it_when_its_terms_are_edited(tmp_path):
    file = tmp_path / "there" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("reward:\n  terms:\n  - kind: python\n    path: score.py\n")
    draft = draft_of(resolve(str(file)), str(file))
    text = text_of(form_fields()["reward.terms"], draft.value("reward.terms"))
    assert text == f"- kind: python\n  path: {file.parent / 'score.py'}\n"


@pytest.mark.parametrize("name", ["demo", "sentiment", "chat-8gb"])
def test_every_value_of_a_preset_is_read_back_from_its_text(name):
    draft = draft_of(resolve(name), name)
    for key, field in form_fields().items():
        checked = check(draft, key, text_of(field, draft.value(key)))
        assert (checked.error, checked.conflict) == ("", "")
        assert draft.with_value(key, checked.value).resolved().config == draft.base.config


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_is_read_back_from_the_line_that_shows_it(text):
    for key in ("description", "data.system"):
        field = form_fields()[key]
        shown = text_of(field, text)
        assert shown.isprintable()
        assert read_text(field, shown) == text


def test_the_command_line_makes_the_same_run(demo):
    draft = demo
    for key, value in {
        "description": 'it\'s $HOME; "so"\n# and more',
        "ppo.value_clip": 0.3,
        "rollout.top_k": 5,
        "adapter.targets": ["q_proj", "v_proj"],
        "reward.terms": [{"kind": "keywords", "wanted": ["très: bien", "yes"], "weight": 2.0}],
    }.items():
        draft = draft.with_value(key, value)
    config = draft.resolved().config
    words = shlex.split(command_line(config, demo.base.config, "demo"))
    assert words[:3] == ["ppo-tui", "train", "demo"]
    assert words[3::2] == ["--set"] * 5
    assert resolve("demo", words[4::2]).config == config


def test_the_command_line_of_an_unchanged_preset_names_it_alone(demo):
    assert command_line(demo.base.config, demo.base.config, "demo") == "ppo-tui train demo"


def test_the_command_line_is_short(demo):
    config = demo.with_value("ppo.kl_coef", 0.1).resolved().config
    assert command_line(config, demo.base.config, "demo") == (
        "ppo-tui train demo --set ppo.kl_coef=0.1"
    )


def test_the_kinds_of_reward_terms_come_with_what_they_score_and_their_options():
    kinds = term_kinds()
    assert list(kinds)[:2] == ["sentiment", "length"]
    assert kinds["repetition"].documentation == (
        "Minus the share of repeated word n-grams: 0 when all differ, near -1 when all are alike."
    )
    assert kinds["repetition"].options == (
        ("ngram", "Length of the word n-grams that are compared."),
    )


def test_a_saved_preset_holds_only_what_is_not_the_default(demo, home):
    draft = demo.with_value("steps", 5).with_value("reward.terms", [{"kind": "repetition"}])
    path = save_preset("mine", draft.resolved(), description="My own.")
    assert path == home / "presets" / "mine.yaml"
    text = path.read_text()
    assert text.startswith("description: My own.\n")
    assert "- kind: repetition\n" in text
    assert "weight" not in text
    assert "quantization" not in text
    assert resolve("mine").config == draft.resolved().config.model_copy(
        update={"description": "My own."}
    )


def test_a_saved_preset_keeps_its_description_unless_told_otherwise(demo):
    save_preset("mine", demo.resolved())
    assert load_preset("mine").description == resolve("demo").config.description


def test_a_configuration_of_defaults_can_be_saved(demo):
    from ppo_tui.config.resolve import ResolvedConfig

    save_preset("plain", ResolvedConfig(parse_config("", "x"), "plain", {}))
    assert resolve("plain").config == RunConfig()


@pytest.mark.parametrize(
    "name", ["", "a/b", "../up", ".hidden", "x" * 65, "a b", "mine.yaml", "\x1b[31m", "ü", "a\n"]
)
def test_a_name_that_cannot_be_a_preset_is_refused(demo, name, home):
    with pytest.raises(ConfigError) as caught:
        save_preset(name, demo.resolved())
    assert caught.value.code == "config.preset_name"
    assert caught.value.message.isprintable()
    assert not home.exists()


def test_a_preset_is_never_replaced_unasked(demo):
    save_preset("mine", demo.resolved())
    with pytest.raises(ConfigError, match="'mine' of your own already") as caught:
        save_preset("mine", demo.with_value("steps", 5).resolved())
    assert caught.value.code == "config.preset_exists"
    assert resolve("mine").config.steps == 36
    save_preset("mine", demo.with_value("steps", 5).resolved(), overwrite=True)
    assert resolve("mine").config.steps == 5


def test_a_shipped_preset_is_not_hidden_unasked(demo):
    with pytest.raises(ConfigError, match="comes with ppo-tui"):
        save_preset("sentiment", demo.resolved())


def test_a_preset_that_cannot_be_written_says_so(demo, home):
    home.write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        save_preset("mine", demo.resolved())
