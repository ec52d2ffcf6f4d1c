"""`make bench-speed`: PPO steps of ppo-tui against TRL's PPOTrainer on the CPU, as a ratio.

TRL 1.12.0, the last release with a PPOTrainer, runs in a venv of its own that is made on the first
run. Both engines get the same model folder, prompts, batch, response lengths, epochs, minibatches
and LoRA, and run in turn (A B A B), each time in a fresh process; the medians are compared.
Episodes per second count whole PPO steps, without warm-up. Memory is the process's resident set.

TRL runs in two forms (see trl_side.py): `shared` is the smallest that it accepts, `separate` is
what its documentation shows. Neither is the faster one on every model, so the ratio to judge by is
that to the better of the two: the faster for speed, the smaller for memory. A case where the
engines did not do equal work is marked so, whatever its ratio.

What was measured is printed and written to `benchmarks/results/bench-speed-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.random_models import MIDDLE, TINY, ModelShape, random_prompts, save_random_model
from benchmarks.results_sheet import machine
from benchmarks.speed_contract import SpeedResult, SpeedSpec
from benchmarks.speed_report import (
    SIDES,
    Side,
    differing_versions,
    ratios,
    report,
    summarise,
    unequal_work,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
TRL_VENV = HERE / ".venv-trl"
TRL_REQUIREMENTS = HERE / "requirements-trl.txt"
BUNDLED_MODEL = ROOT / "ppo_tui" / "assets" / "base_model"


@dataclass(frozen=True)
class Case:
    """A model and the work done on it. `shape` None is the bundled model.

    Attributes:
        eos_probability: Chance of eos at each token of a random model; 0 gives full responses.
        prompt_tokens: Shortest and longest prompt of a random model.
        work: What departs from the defaults of `SpeedSpec`, which are those of the demo preset.
    """

    name: str
    about: str
    shape: ModelShape | None
    eos_probability: float
    prompt_tokens: tuple[int, int]
    work: dict[str, Any]


CASES = (
    Case(
        "bundled",
        "the bundled model, its own prompts, the demo preset's settings",
        None,
        0.0,
        (0, 0),
        {"lengths": "mixed"},
    ),
    Case(
        "tiny",
        "random Llama, hidden 128, 4 layers, vocabulary 1024; every response full",
        TINY,
        0.0,
        (4, 12),
        {"lengths": "fixed"},
    ),
    Case(
        "middle",
        "random Llama, hidden 512, 8 layers, vocabulary 8192; every response full",
        MIDDLE,
        0.0,
        (16, 32),
        {"lengths": "fixed", "batch_size": 16, "epochs": 2, "minibatches": 2},
    ),
    Case(
        "middle-mixed",
        "the same with an end of sequence at one token in 16: responses of mixed length",
        MIDDLE,
        1 / 16,
        (16, 32),
        {
            "lengths": "mixed",
            "batch_size": 32,
            "epochs": 1,
            "minibatches": 4,
            "response_tokens": 64,
        },
    ),
)


class BenchmarkError(Exception):
    """Something the benchmark stands on is missing or failed; the message says what and where."""


def ensure_trl_venv() -> Path:
    """Python of TRL's venv, which is made when it is missing or its requirements have changed."""
    python = TRL_VENV / "bin" / "python"
    stamp = TRL_VENV / ".installed"
    wanted = hashlib.sha256(TRL_REQUIREMENTS.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    say("Making a venv for TRL in benchmarks/.venv-trl (the first time takes a while) ...")
    shutil.rmtree(TRL_VENV, ignore_errors=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(TRL_VENV)],
        [*install, "--requirement", str(TRL_REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BenchmarkError(f"TRL's venv could not be made:\n{tail(done.stderr)}")
    stamp.write_text(wanted)
    return python


def prepare(case: Case, folder: Path) -> SpeedSpec | None:
    """The case's spec, with its model written to `folder`; None where there is no bundled model."""
    if case.shape is None:
        if not (BUNDLED_MODEL / "model.safetensors").exists():
            return None
        model = BUNDLED_MODEL
        prompts = bundled_prompts(SpeedSpec(str(model), [], **case.work).response_tokens)
    else:
        model = folder / case.name
        save_random_model(model, case.shape, case.eos_probability)
        prompts = random_prompts(case.shape, 256, *case.prompt_tokens)
    return SpeedSpec(model=str(model), prompts=prompts, **case.work)


def bundled_prompts(response_tokens: int) -> list[list[int]]:
    """Token ids of the bundled prompts, as a run of ppo-tui reads them."""
    from transformers import AutoTokenizer

    from ppo_tui.config.schema import DataConfig
    from ppo_tui.data.dataset import PromptDataset

    data = PromptDataset.load(
        DataConfig(eval_fraction=0.0),
        AutoTokenizer.from_pretrained(BUNDLED_MODEL),
        response_tokens=response_tokens,
        context_length=None,
    )
    return [list(prompt.ids) for prompt in data.train]


def run_side(side: Side, spec: SpeedSpec, trl_python: Path | None) -> SpeedResult:
    """One engine in a fresh process."""
    if side == "ours":
        python, module = sys.executable, "benchmarks.ours_side"
    else:
        python, module = str(trl_python), "benchmarks.trl_side"
        value: Literal["shared", "separate"] = "shared" if side == "trl shared" else "separate"
        spec = replace(spec, value=value)
    done = subprocess.run(
        [python, "-m", module, "-"],
        input=spec.to_json(),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(spec.threads),
            # For both, as our worker sets it: endless spinning starves a machine that is not idle.
            "GOMP_SPINCOUNT": "1000",
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
    )
    if done.returncode:
        raise BenchmarkError(f"{module} failed ({side}):\n{tail(done.stderr)}")
    return SpeedResult.from_json(done.stdout.strip().splitlines()[-1])


def run_case(case: Case, spec: SpeedSpec, sides: list[Side], repeats: int) -> dict[str, Any]:
    """Runs the sides in turn, `repeats` times, and returns the case's part of the report."""
    trl_python = ensure_trl_venv() if any(side != "ours" for side in sides) else None
    results: dict[Side, list[SpeedResult]] = {side: [] for side in sides}
    for repeat in range(repeats):
        for side in sides:
            # A seed a repeat: where lengths are mixed, they average out over the repeats.
            result = run_side(side, replace(spec, seed=spec.seed + repeat), trl_python)
            results[side].append(result)
            say(
                f"{case.name} {repeat + 1}/{repeats} {side}: {result.episodes_per_second:.1f} "
                f"episodes/s, peak {result.peak_over_import_mib:.0f} MiB over imports"
            )
    summaries = [summarise(side, spec.batch_size, results[side]) for side in sides]
    settings = asdict(spec)
    for private in ("model", "prompts", "value"):
        settings.pop(private)
    return {
        "name": case.name,
        "about": case.about,
        "settings": settings,
        "summaries": [asdict(s) for s in summaries],
        "ratios": ratios(summaries),
        "unequal_work": unequal_work(summaries),
        "versions": {side: results[side][0].versions for side in sides},
        "given": {side: results[side][0].given for side in sides},
        "runs": {side: [asdict(r) for r in results[side]] for side in sides},
    }


def tail(text: str, lines: int = 25) -> str:
    """The end of a long output."""
    return "\n".join(text.strip().splitlines()[-lines:])


def say(line: str) -> None:
    """Talk, which goes to stderr; the report alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench_speed", description="PPO steps of ppo-tui and of TRL on the CPU, as a ratio."
    )
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--repeats", type=int, default=3, help="processes an engine and case")
    parser.add_argument("--steps", type=int, default=3, help="timed PPO steps a process")
    parser.add_argument("--warmup", type=int, default=1, help="untimed PPO steps before them")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def main() -> int:
    """Runs the cases and writes the results; 0 done, 1 failed."""
    args = arguments()
    measured: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "repeats": args.repeats,
        "cases": [],
    }
    cores = os.cpu_count() or 1
    if os.getloadavg()[0] > cores / 2:
        say(
            f"The machine is busy (load {os.getloadavg()[0]:.1f} on {cores} cores): threads wait "
            "for each other, and the times will say little. --threads 1 suffers least."
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            for case in CASES:
                if case.name not in args.cases:
                    continue
                spec = prepare(case, Path(folder))
                if spec is None:
                    say(
                        f"{case.name} left out: there is no bundled model here (make bundled-model)"
                    )
                    continue
                spec = replace(spec, steps=args.steps, warmup=args.warmup, threads=args.threads)
                measured["cases"].append(run_case(case, spec, args.sides, args.repeats))
    except BenchmarkError as error:
        say(f"bench-speed: {error}")
        return 1
    if not measured["cases"]:
        say("bench-speed: no case was run")
        return 1
    parted = differing_versions(measured["cases"][0])
    if parted:
        say(f"The two sides have different versions of {', '.join(parted)}: see the report.")
    text = "\n".join(report(measured)) + "\n"
    args.results.mkdir(parents=True, exist_ok=True)
    name = f"bench-speed-{measured['date']}"
    (args.results / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n")
    (args.results / f"{name}.md").write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
