"""The reward terms a configuration can name, and their options.

Only what they are called and which options they take; how they score stands in `ppo_tui.rewards`.
A kind that is not built in is looked up among the installed packages' entry points by name alone,
so that reading a configuration never imports (and never runs) somebody's package.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    field_validator,
    model_validator,
)

ENTRY_POINT_GROUP = "ppo_tui.rewards"

PLUGIN = "plugin"
"""Tag of the terms that are not built in."""


class RewardTerm(BaseModel):
    """What every term of a reward has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    weight: FiniteFloat = Field(
        1.0, description="The term is multiplied by this before the terms are added up."
    )
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Name of the metric reward/<name>; the kind if left out.",
    )

    @property
    def label(self) -> str:
        """The name under which the term is recorded."""
        return self.name or self.kind


class SentimentTerm(RewardTerm):
    """VADER's compound sentiment of the response, from -1 (sad) to 1 (glad)."""

    kind: Literal["sentiment"] = "sentiment"
    target: Literal["positive", "negative", "neutral"] = Field(
        "positive",
        description="What is rewarded: the compound score, its opposite, or 1 less its size.",
    )


class LengthTerm(RewardTerm):
    """How near the response's length is to a target: 1 at the target, falling by 1 per tolerance.

    The score is max(-1, 1 - |length - target| / tolerance).
    """

    kind: Literal["length"] = "length"
    target: int = Field(ge=0, description="The length that scores 1.")
    tolerance: FiniteFloat = Field(
        gt=0, description="Distance from the target at which the score has fallen to 0."
    )
    unit: Literal["characters", "words"] = Field("words", description="What is counted.")


class RegexTerm(RewardTerm):
    """Whether, or how often, a regular expression matches the response."""

    kind: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1, description="Python regular expression, searched anywhere.")
    count: bool = Field(
        False, description="Score the number of matches (up to max_count) instead of 1 or 0."
    )
    max_count: int = Field(5, ge=1, description="More matches than this score no more.")
    ignore_case: bool = Field(False, description="Match letters of either case.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class KeywordsTerm(RewardTerm):
    """The share of wanted words that stand in the response, less the share of unwanted ones."""

    kind: Literal["keywords"] = "keywords"
    wanted: tuple[str, ...] = Field((), description="Whole words or phrases that are rewarded.")
    unwanted: tuple[str, ...] = Field((), description="Whole words or phrases that are penalised.")
    ignore_case: bool = Field(True, description="Match letters of either case.")

    @model_validator(mode="after")
    def _names_a_word(self) -> KeywordsTerm:
        if not (self.wanted or self.unwanted):
            raise ValueError("needs at least one word in wanted or unwanted")
        if any(not word.strip() for word in (*self.wanted, *self.unwanted)):
            raise ValueError("an empty word cannot be searched for")
        return self


class RepetitionTerm(RewardTerm):
    """Minus the share of repeated word n-grams: 0 when all differ, near -1 when all are alike."""

    kind: Literal["repetition"] = "repetition"
    ngram: int = Field(3, ge=1, le=20, description="Length of the word n-grams that are compared.")


class PythonTerm(RewardTerm):
    """A function in a Python file of the user's own.

    It is called with the keyword arguments ``prompts`` and ``responses`` (two lists of text of the
    same length) and returns one number for each.
    """

    kind: Literal["python"] = "python"
    path: str = Field(
        min_length=1, description="The Python file; relative to where the run starts."
    )
    function: str = Field(
        "reward", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="The function in that file."
    )


class HumanTerm(RewardTerm):
    """What people's ratings of the samples say, as far as it can be told from them.

    On the scale of the ratings, 1 to 5. The score is mean - pessimism * std: where nobody has
    looked the reward is unsure, and PPO shall not run there.
    """

    # In the term itself it is `from`, which Python keeps for itself.
    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["human"] = "human"
    pessimism: FiniteFloat = Field(
        0.5, ge=0, description="Standard deviations that are subtracted from the expected rating."
    )
    source: str | None = Field(
        None,
        alias="from",
        min_length=1,
        description="A reward made by `ppo-tui reward fit`, used as it is; null learns from the "
        "ratings of this run.",
    )


class AdapterTerm(RewardTerm):
    """A reward adapter: a LoRA on the same base that was trained on many ratings."""

    kind: Literal["adapter"] = "adapter"
    path: str = Field(
        min_length=1, description="The folder made by `ppo-tui reward fit --adapter`."
    )


class PluginTerm(RewardTerm):
    """A reward that another installed package provides by entry point."""

    options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to the package's reward as keyword arguments."
    )

    @field_validator("kind")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        if value not in plugin_kinds():
            from ppo_tui.errors import did_you_mean

            raise ValueError(
                f"unknown reward kind {value!r}; {did_you_mean(value, reward_kinds())}"
            )
        return value


BuiltInTerm = (
    SentimentTerm
    | LengthTerm
    | RegexTerm
    | KeywordsTerm
    | RepetitionTerm
    | PythonTerm
    | HumanTerm
    | AdapterTerm
)
BUILT_IN_TERMS: dict[str, type[RewardTerm]] = {
    term.model_fields["kind"].default: term for term in get_args(BuiltInTerm)
}


def option_names(term: type[RewardTerm]) -> dict[str, str]:
    """The options of a kind as a configuration names them, each with its attribute."""
    return {info.alias or name: name for name, info in term.model_fields.items()}


def plugin_kinds() -> frozenset[str]:
    """Names that installed packages register in the entry point group `ppo_tui.rewards`."""
    return frozenset(point.name for point in entry_points(group=ENTRY_POINT_GROUP))


def reward_kinds() -> frozenset[str]:
    """Every kind that a configuration may name on this machine."""
    return frozenset(BUILT_IN_TERMS) | plugin_kinds()


def _kind_of(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) and kind in BUILT_IN_TERMS else PLUGIN


AnyRewardTerm = Annotated[
    Annotated[SentimentTerm, Tag("sentiment")]
    | Annotated[LengthTerm, Tag("length")]
    | Annotated[RegexTerm, Tag("regex")]
    | Annotated[KeywordsTerm, Tag("keywords")]
    | Annotated[RepetitionTerm, Tag("repetition")]
    | Annotated[PythonTerm, Tag("python")]
    | Annotated[HumanTerm, Tag("human")]
    | Annotated[AdapterTerm, Tag("adapter")]
    | Annotated[PluginTerm, Tag("plugin")],
    Discriminator(_kind_of),
]
