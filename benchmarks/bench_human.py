"""`make bench-human`: how fast a simulated person's taste is learnt, and what PPO makes of it.

Two halves, both on the bundled model. The first trains nothing: from how many ratings, chosen at
random or as the app chooses them, does the reward foretell the hidden score of fresh texts? The
second trains as a user does (`ppo-tui train taste`, a worker of its own), with a simulated person
who rates through the run directory as any rater does, and once more with the hidden score itself as
the reward: how much of that gain do 60 ratings bring?

Prints tables and writes `benchmarks/results/bench-human-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.human_person import (
    COUNTS,
    HIDDEN,
    NOISE,
    Person,
    Texts,
    learning_curves,
    ratings_needed,
)
from benchmarks.results_sheet import machine, markdown_table
from benchmarks.speed_contract import versions

RESULTS = Path(__file__).resolve().parent / "results"

POOL, FRESH = 512, 1000
"""Texts to choose from, and texts that the reward is measured on."""

ORDERS = 5
"""Random orders for each pool."""

AT = 60
"""Ratings at which the two choices are compared."""

TRAINED = ("first person", "sentiment")
"""Hidden scores that a policy is trained on."""

ROUNDS = ("ratings.first=40", "ratings.every=12", "ratings.per_round=10")
"""40 before the first step, ten before steps 13 and 25: 60 ratings."""

LAST_STEPS = 3


@dataclass(frozen=True)
class Learnt:
    """What the first half found for one hidden score, medians over seeds.

    Attributes:
        random: Rank correlation after `AT` ratings chosen at random.
        active: The same, chosen as the app does.
        most: With all of the pool rated: what the readings hold.
        ratio: Ratings that the active choice needs for `random`, as a share of `AT`.
        curves: By strategy the mean correlation at each of `COUNTS`.
    """

    hidden: str
    random: float
    active: float
    most: float
    ratio: float
    curves: dict[str, list[float]]


@dataclass(frozen=True)
class Trained:
    """What one pair of runs came to, in the hidden score.

    Attributes:
        base: Mean over texts of the base.
        on_ratings: Mean over the last steps of the run that was rated.
        on_hidden: The same of the run that had the hidden score as its reward.
        share: Gain of the first over that of the second.
        ratings: Ratings that were given.
        correlation: Of the reward with the hidden score, over the rated run's last texts.
        kl: KL of the rated run's policy, and of the other's.
    """

    hidden: str
    seed: int
    base: float
    on_ratings: float
    on_hidden: float
    share: float
    ratings: int
    correlation: float
    kl: tuple[float, float]


# ---- the first half


def texts_of_base(seed: int) -> tuple[Texts, Texts]:
    """A pool and fresh texts of the bundled model, as a run with this seed writes them."""
    import torch

    from ppo_tui.config.resolve import resolve
    from ppo_tui.data.dataset import PromptDataset
    from ppo_tui.policy.loading import load_base
    from ppo_tui.policy.roles import Roles
    from ppo_tui.training.candidates import write_candidates

    config = resolve("taste", [f"seed={seed}"]).config
    base = load_base(config.model, torch.device("cpu"))
    data = PromptDataset.load(
        config.data,
        base.tokenizer,
        response_tokens=config.rollout.response_tokens,
        context_length=base.context_length,
        eos_token_ids=base.vocabulary.eos_ids,
    )
    roles = Roles(base, config.adapter, temperature=config.rollout.temperature, seed=seed)
    made = []
    for step, count in ((0, POOL), (1, FRESH)):  # an untrained adapter is the base
        written = write_candidates(roles, config, data, step, count)
        made.append(
            Texts(
                [text.prompt for text in written],
                [text.response for text in written],
                np.stack([text.reading for text in written]),
            )
        )
    return made[0], made[1]


def learn(seeds: Sequence[int], hidden_scores: Sequence[str]) -> list[Learnt]:
    """The learning curves of every hidden score."""
    places = {seed: texts_of_base(seed) for seed in seeds}
    found = []
    for name in hidden_scores:
        rows: dict[str, list[Any]] = {"random": [], "active": [], "most": [], "ratio": []}
        for seed, (pool, fresh) in places.items():
            usual = list(zip(pool.prompts, pool.responses, strict=True))
            person = Person(HIDDEN[name], usual, seed=seed)
            orders = [ORDERS * seed + order for order in range(ORDERS)]
            curves = learning_curves(pool, fresh, person, seeds=orders)
            random = curves["random"].mean(0)
            rows["random"].append(random)
            rows["active"].append(curves["active"][0])
            goal = float(random[COUNTS.index(AT)])
            rows["ratio"].append(ratings_needed(goal, curves["active"][0]) / AT)
            everything = learning_curves(pool, fresh, person, ["random"], [POOL], [seed])
            rows["most"].append(float(everything["random"][0, 0]))
        place = COUNTS.index(AT)
        random, active = np.array(rows["random"]), np.array(rows["active"])
        one = Learnt(
            name,
            random=float(np.median(random[:, place])),
            active=float(np.median(active[:, place])),
            most=statistics.median(rows["most"]),
            ratio=statistics.median(rows["ratio"]),
            curves={
                "random": random.mean(0).round(4).tolist(),
                "active": active.mean(0).round(4).tolist(),
            },
        )
        print(
            f"{name}: {one.active:.2f} with {AT} chosen ratings, {one.random:.2f} at random; "
            f"{one.ratio:.0%} of the ratings for the same",
            flush=True,
        )
        found.append(one)
    return found


# ---- the second half


def train(hidden: str, seed: int, folder: Path) -> Trained:
    """Train on ratings, then on the hidden score itself."""
    rated, ratings, correlation = _run_rated(hidden, seed, folder)
    usual = _base_texts(rated)
    direct = _run_direct(hidden, seed, folder, usual)
    score = HIDDEN[hidden]
    base = statistics.fmean(score(*text) for text in usual)
    means = [statistics.fmean(score(*text) for text in _last_texts(run)) for run in (rated, direct)]
    gain = means[1] - base
    return Trained(
        hidden,
        seed,
        base=base,
        on_ratings=means[0],
        on_hidden=means[1],
        share=(means[0] - base) / gain if gain else math.nan,
        ratings=ratings,
        correlation=correlation,
        kl=(_last_metric(rated, "kl/ref"), _last_metric(direct, "kl/ref")),
    )


def _run_rated(hidden: str, seed: int, folder: Path) -> tuple[Path, int, float]:
    """A run that a simulated person rates while it waits; its folder and what came of it."""
    from scipy.stats import spearmanr

    from ppo_tui.plan.identity import base_identity
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.runs.judgements import About, new_rating
    from ppo_tui.runs.phase import Phase
    from ppo_tui.runs.ratings import RatingsFile
    from ppo_tui.runs.state import observe
    from ppo_tui.taste.adviser import Adviser

    path = folder / f"{hidden.replace(' ', '-')}-{seed}-rated"
    worker = _start("taste", path, seed, ROUNDS)
    while worker.poll() is None and not (path / "state.json").exists():
        time.sleep(0.1)
    run = RunDirectory.open(path)
    adviser, file = Adviser(run, "simulated"), RatingsFile(run.ratings_path)
    base = base_identity(_model())
    person: Person | None = None
    while worker.poll() is None:
        seen = observe(run)
        wanted = seen.state.message.partition(" of ")[2].partition(" ")[0]
        given = file.read().count
        if seen.phase is not Phase.AWAITING_RATINGS or given >= int(wanted or 0):
            time.sleep(0.05)
            continue
        adviser.refresh()
        person = person or Person(HIDDEN[hidden], _base_texts(path), seed=seed)
        for question in adviser.questions("single", min(5, int(wanted) - given)):
            about = About.of(question.first)
            (rating,) = person.rate([about.text])
            file.append(new_rating("simulated", "bundled", base, run.name, about, int(rating)))
    _check(worker, path)
    last = _last_samples(path)
    truth = [HIDDEN[hidden](sample["prompt"], sample["response"]) for sample in last]
    told = [sample["score"] for sample in last]
    return path, file.read().count, float(spearmanr(told, truth).statistic)


def _run_direct(hidden: str, seed: int, folder: Path, usual: Sequence[tuple[str, str]]) -> Path:
    """A run whose reward is the hidden score, on the scale of the ratings, without noise."""
    path = folder / f"{hidden.replace(' ', '-')}-{seed}-direct"
    texts = folder / "usual.json"
    texts.write_text(json.dumps(usual), encoding="utf-8")
    file = folder / "hidden_reward.py"
    file.write_text(_REWARD.format(root=str(RESULTS.parents[1]), hidden=hidden, texts=str(texts)))
    reward = f"reward={{kind: python, path: {file}}}"
    worker = _start("taste", path, seed, ("ratings.mode=flow", reward), trust=file)
    _check(worker, path)
    return path


_REWARD = """
import json, sys
sys.path.insert(0, {root!r})
from benchmarks.human_person import HIDDEN, Person

PERSON = Person(HIDDEN[{hidden!r}], [tuple(text) for text in json.load(open({texts!r}))])

def reward(prompts, responses):
    return PERSON.steps(list(zip(prompts, responses))).tolist()
"""


def _start(
    preset: str, path: Path, seed: int, settings: Sequence[str], trust: Path | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ppo_tui", "train", preset, "--json", "--run-dir", str(path)]
    command += [] if trust is None else ["--trust", str(trust)]
    every = (*settings, f"seed={seed}", f"data.seed={seed}", "eval.at_end=false")
    for setting in (*every, "eval.watch_prompts=0"):
        command += ["--set", setting]
    # What is confirmed here is nothing for the user's own list.
    environment = {**os.environ, "PPO_TUI_HOME": str(path.parent / "home")}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )


def _check(worker: subprocess.Popen[bytes], path: Path) -> None:
    if worker.wait():
        sys.exit(f"{path.name} failed:\n{(path / 'log.txt').read_text()[-2000:]}")


def _model() -> Any:
    from ppo_tui.config.schema import ModelConfig

    return ModelConfig()


def _base_texts(path: Path) -> list[tuple[str, str]]:
    from ppo_tui.runs.pool import read_pool

    return [(c.prompt, c.response) for c in read_pool(path / "pool.jsonl")[0] if c.step == 0]


def _last_samples(path: Path) -> list[dict[str, Any]]:
    with (path / "samples.jsonl").open(encoding="utf-8") as lines:
        samples = [json.loads(line) for line in lines]
    last = samples[-1]["step"]
    return [sample for sample in samples if sample["step"] > last - LAST_STEPS]


def _last_texts(path: Path) -> list[tuple[str, str]]:
    return [(sample["prompt"], sample["response"]) for sample in _last_samples(path)]


def _last_metric(path: Path, name: str) -> float:
    with (path / "events.jsonl").open(encoding="utf-8") as lines:
        steps = [json.loads(line) for line in lines if '"kind":"step"' in line]
    return float(steps[-1]["metrics"][name])


# ---- the sheet


def report(
    learnt: Sequence[Learnt], trained: Sequence[Trained], about: dict[str, str], date: str
) -> list[str]:
    """The result as lines of Markdown."""
    lines = [f"# A simulated person's taste, {date}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += [
        f"The person rates 1 to 5 by a hidden score, with noise of {NOISE} rating steps (standard "
        f"deviation), rounded. Correlations are Spearman's, with the hidden score itself, on "
        f"{FRESH} fresh texts of the bundled model; {POOL} texts to choose from.",
        "",
    ]
    if learnt:
        rows = [
            (
                "hidden score",
                f"{AT} at random",
                f"{AT} chosen",
                f"all {POOL} rated",
                f"ratings needed for the same as {AT} at random",
            )
        ]
        rows += [
            (
                one.hidden,
                f"{one.random:.2f}",
                f"{one.active:.2f}",
                f"{one.most:.2f}",
                f"{one.ratio:.0%}" if math.isfinite(one.ratio) else "never",
            )
            for one in learnt
        ]
        lines += ["## Ratings to learn it", "", *markdown_table(rows), ""]
        rows = [("hidden score, choice", *map(str, COUNTS))]
        for one in learnt:
            for choice, curve in one.curves.items():
                rows.append((f"{one.hidden}, {choice}", *(f"{value:.2f}" for value in curve)))
        lines += ["Mean correlation by number of ratings:", "", *markdown_table(rows), ""]
    if trained:
        rows = [
            (
                "hidden score",
                "seed",
                "base",
                "PPO on ratings",
                "PPO on the score itself",
                "share of the gain",
                "ratings",
                "correlation at the end",
                "KL",
            )
        ]
        rows += [
            (
                one.hidden,
                str(one.seed),
                f"{one.base:.3f}",
                f"{one.on_ratings:.3f}",
                f"{one.on_hidden:.3f}",
                f"{one.share:.0%}",
                str(one.ratings),
                f"{one.correlation:.2f}",
                f"{one.kl[0]:.1f}, {one.kl[1]:.1f}",
            )
            for one in trained
        ]
        lines += ["## PPO on it", "", *markdown_table(rows), ""]
        for hidden in dict.fromkeys(one.hidden for one in trained):
            shares = [one.share for one in trained if one.hidden == hidden]
            lines.append(
                f"{hidden}: median {statistics.median(shares):.0%}, worst {min(shares):.0%} of the "
                f"gain over {len(shares)} seeds."
            )
        lines.append("")
    return lines


def main() -> None:
    """Both halves, and what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each half, from 0")
    parser.add_argument("--only", choices=("learn", "train"), help="one half alone")
    parser.add_argument("--hidden", nargs="+", choices=HIDDEN, help="hidden scores")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    learnt = learn(seeds, arguments.hidden or list(HIDDEN)) if arguments.only != "train" else []
    trained = []
    if arguments.only != "learn":
        with tempfile.TemporaryDirectory(prefix="bench-human-") as folder:
            for hidden in arguments.hidden or TRAINED:
                for seed in seeds:
                    one = train(hidden, seed, Path(folder))
                    trained.append(one)
                    print(
                        f"{hidden}, seed {seed}: {one.base:.3f} -> {one.on_ratings:.3f} on "
                        f"{one.ratings} ratings, {one.on_hidden:.3f} on the score itself: "
                        f"{one.share:.0%} of the gain",
                        flush=True,
                    )
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    versioned = versions("ppo-tui", "torch", "transformers", "scikit-learn")
    about: dict[str, Any] = machine() | versioned
    lines = report(learnt, trained, about, date)
    print("\n".join(["", *lines]))
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"bench-human-{date}"
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    measured = {
        "date": date,
        "about": about,
        "noise": NOISE,
        "counts": COUNTS,
        "learnt": [asdict(one) for one in learnt],
        "trained": [asdict(one) for one in trained],
    }
    path.with_suffix(".json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {path}.md and .json")


if __name__ == "__main__":
    main()
