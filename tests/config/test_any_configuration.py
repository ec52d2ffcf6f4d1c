"""Whatever a configuration holds, it is valid and survives a round trip, or is refused in words."""

from hypothesis import example, given
from hypothesis import strategies as st

from ppo_tui.config.resolve import config_to_yaml, parse_config, parse_setting, resolve, validate
from ppo_tui.config.schema import RunConfig
from ppo_tui.config.yaml_io import load_yaml
from ppo_tui.errors import PpoTuiError

TEXT = st.text(min_size=1, max_size=30)
SHARE = st.floats(0, 0.99)
POSITIVE = st.floats(1e-6, 1e6)

TERMS = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("sentiment")},
        optional={"weight": st.floats(-5, 5), "target": st.sampled_from(["positive", "neutral"])},
    ),
    st.fixed_dictionaries(
        {"kind": st.just("length"), "target": st.integers(0, 500), "tolerance": POSITIVE}
    ),
    st.fixed_dictionaries(
        {"kind": st.just("regex"), "pattern": st.sampled_from(["a+", "^\\d", "é"])}
    ),
    st.fixed_dictionaries(
        {"kind": st.just("keywords"), "wanted": st.lists(TEXT.filter(str.strip), min_size=1)}
    ),
    st.fixed_dictionaries({"kind": st.just("python"), "path": TEXT}),
)


@st.composite
def valid_values(draw) -> dict:
    minibatches = draw(st.integers(1, 8))
    samples = draw(st.integers(1, 4))
    steps = draw(st.integers(1, 10_000))
    template = draw(st.none() | st.just("chat") | TEXT.map(lambda text: text + "{prompt}"))
    data = {
        "prompts": draw(TEXT),
        "column": draw(st.none() | TEXT),
        "template": template,
        "eval_fraction": draw(SHARE),
    }
    if template == "chat":
        data["system"] = draw(st.none() | TEXT)
    return {
        "description": draw(st.text()),
        "model": {
            "name": draw(TEXT),
            "revision": draw(st.none() | TEXT),
            "quantization": draw(st.sampled_from(["none", "int8", "nf4"])),
            "trust_remote_code": draw(st.booleans()),
        },
        "adapter": {
            "rank": draw(st.integers(1, 1024)),
            "alpha": draw(POSITIVE),
            "targets": draw(st.just("all-linear") | st.lists(TEXT, min_size=1, max_size=3)),
        },
        "data": data,
        "reward": {
            "terms": draw(st.lists(TERMS, min_size=1, max_size=4, unique_by=lambda t: t["kind"])),
            "clip": draw(st.none() | POSITIVE),
        },
        "rollout": {
            "batch_size": minibatches * samples * draw(st.integers(1, 64)),
            "samples_per_prompt": samples,
            "temperature": draw(POSITIVE),
        },
        "ppo": {
            "minibatches": minibatches,
            "clip": draw(st.floats(1e-6, 0.999)),
            "value_clip": draw(st.none() | POSITIVE),
        },
        "optim": {
            "lr": draw(POSITIVE),
            "betas": [draw(SHARE), draw(SHARE)],
            "warmup_steps": draw(st.integers(0, steps - 1)),
        },
        "steps": steps,
        "seed": draw(st.integers(0, 2**63 - 1)),
    }


@given(valid_values(), st.dictionaries(st.sampled_from(["steps", "ppo.clip", "data.column"]), TEXT))
def test_a_valid_configuration_survives_being_written_and_read(values, origins):
    config = validate(values, "the test")
    assert parse_config(config_to_yaml(config), "again") == config
    assert parse_config(config_to_yaml(config, origins), "again") == config


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KEYS = sorted(RunConfig.model_fields)
INNER_KEYS = sorted(
    {
        name
        for field in RunConfig.model_fields.values()
        if hasattr(field.annotation, "model_fields")
        for name in field.annotation.model_fields
    }
)


def refused_in_words(call) -> None:
    """Nothing but an error of our own may come out, and it is one sentence."""
    error = None
    try:
        call()
    except PpoTuiError as caught:
        error = caught
    if error is not None:
        assert error.message
        assert "\n" not in error.message
        assert error.code.startswith(("config", "usage"))


@given(
    st.dictionaries(
        st.sampled_from(KEYS) | st.text(),
        ANYTHING
        | st.dictionaries(
            st.sampled_from(INNER_KEYS),
            ANYTHING | st.lists(st.fixed_dictionaries({"kind": st.text()})),
        ),
    )
)
@example({"reward": {"terms": [{"kind": []}]}})
@example({"reward": {"terms": {"kind": "sentiment"}}})
@example({"schema_version": True})
@example({"schema_version": 10**400})
@example({"adapter": {"targets": ["a", 3]}})
def test_any_structure_is_valid_or_refused(values):
    refused_in_words(lambda: validate(values, "the test"))


@given(st.text())
@example("reward: {terms: [{kind: [a]}]}")
@example("steps: 99999999999999999999999999")
@example("'a\nb': 1")
@example("[[[[")
def test_any_text_is_a_configuration_or_refused(text):
    refused_in_words(lambda: parse_config(text, "the test"))
    refused_in_words(lambda: validate(load_yaml(f"ppo: {text}", "x"), "the test"))


@given(st.text() | st.tuples(st.sampled_from(KEYS), st.text()).map("=".join))
@example("reward.terms.0.kind.x=1")
@example("reward=[]")
@example("a\nb=1")
def test_any_setting_is_taken_or_refused(setting):
    refused_in_words(lambda: parse_setting(setting))
    refused_in_words(lambda: resolve("demo", [setting]))
