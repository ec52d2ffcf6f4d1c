"""Whether, or how often, a regular expression matches a response.

Matching is done by the third-party `regex` module and not by `re`: some patterns take time
exponential in the text's length ("catastrophic backtracking"), `re` cannot be interrupted, and one
such response would hang the run for ever. `regex` in its default mode reads a pattern the way `re`
does (the configuration has checked it with `re`); its additions to the syntax, such as fuzzy
matching ``(?:word){e<=1}``, are available but not promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import regex  # type: ignore[import-untyped, unused-ignore]

from ppo_tui.config.rewards import RegexTerm
from ppo_tui.errors import RewardError
from ppo_tui.rewards.protocol import Sample

TIMEOUT_SECONDS = 2.0
"""Longest search in a single response; an honest pattern needs well under a millisecond."""


class Regex:
    """1 if the pattern matches anywhere in the response, else 0; or the number of matches.

    Args:
        term: Its options.
        timeout: Seconds that the search in one response may take.

    Raises:
        RewardError: The pattern does not compile (``reward.pattern``), or, when called, its search
            takes longer than the timeout (``reward.timeout``).
    """

    def __init__(self, term: RegexTerm, timeout: float = TIMEOUT_SECONDS) -> None:
        self._term = term
        self._timeout = timeout
        try:
            self._pattern = regex.compile(term.pattern, regex.IGNORECASE if term.ignore_case else 0)
        except regex.error as error:
            raise RewardError(
                f"The pattern {term.pattern!r} of reward term {term.label!r} is not a regular "
                f"expression: {error}.",
                code="reward.pattern",
            ) from error

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score the response of each sample."""
        return [self._score(sample.response) for sample in samples]

    def _score(self, response: str) -> float:
        most = self._term.max_count if self._term.count else 1
        try:
            matches = self._pattern.finditer(response, timeout=self._timeout)
            return float(sum(1 for _ in islice(matches, most)))
        except TimeoutError as error:
            raise RewardError(
                f"the pattern {self._term.pattern!r} took more than {self._timeout:g} s on one "
                f"response of {len(response)} characters; write it without nested repetition.",
                code="reward.timeout",
            ) from error
