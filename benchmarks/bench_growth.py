"""`make bench-growth`: how the cost of a PPO step grows on the CPU, and that memory stays flat.

One thing grows at a time, the rest stays as it is: the length of the responses, the batch, the
model. Random Llamas, every response full, each row in a process of its own (benchmarks.ours_side).
Then many steps of a tiny model with responses of mixed length, and the resident memory every so
often. `make bench-gpu` does the same on a GPU, with models of real size.

Prints tables and writes `benchmarks/results/bench-growth-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.random_models import ModelShape, random_prompts, save_random_model
from benchmarks.results_sheet import machine, markdown_table
from benchmarks.speed_contract import SpeedResult, SpeedSpec, versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

SMALL = ModelShape(hidden=256, layers=4, heads=4, vocab=4096, context=2048)
MODELS = (
    ModelShape(hidden=128, layers=4, heads=4, vocab=4096, context=2048),
    SMALL,
    ModelShape(hidden=512, layers=8, heads=8, vocab=4096, context=2048),
    ModelShape(hidden=768, layers=12, heads=12, vocab=4096, context=2048),
)
LENGTHS = (64, 128, 256, 512, 1024)
BATCHES = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        grows: What grows in its table.
        value: How large it was.
        tokens: Tokens of prompts and responses in a step.
        seconds: Of a step.
        peak_mib: Resident memory over that of the imports.
    """

    grows: str
    value: int
    tokens: int
    seconds: float
    peak_mib: float


def measure(spec: SpeedSpec, threads: int) -> SpeedResult:
    """One process of our engine.

    Raises:
        SystemExit: It failed; its message is printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ours_side", "-"],
        input=spec.to_json(),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"},
    )
    if done.returncode:
        sys.exit(f"benchmarks.ours_side failed:\n{done.stderr[-2000:]}")
    return SpeedResult.from_json(done.stdout.strip().splitlines()[-1])


def grown(grows: str, value: int, shape: ModelShape, batch: int, tokens: int, threads: int) -> Row:
    """One row of a table."""
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(Path(folder), shape)
        spec = SpeedSpec(
            model=folder,
            prompts=random_prompts(shape, 256, 32, 32),
            batch_size=batch,
            response_tokens=tokens,
            epochs=1,
            minibatches=4,
            steps=2,
            warmup=1,
            threads=threads,
        )
        result = measure(spec, threads)
    seconds = min(result.step_seconds)
    return Row(grows, value, batch * (32 + tokens), seconds, result.peak_over_import_mib)


def flat(steps: int, threads: int) -> list[tuple[int, float]]:
    """Resident memory in MiB after so many steps, at ten places of a long run."""
    import psutil
    import torch

    from benchmarks.ours_side import make_trainer

    torch.set_num_threads(threads)
    shape = ModelShape(hidden=64, layers=2, heads=2, vocab=1024)
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(Path(folder), shape, eos_probability=1 / 12)
        spec = SpeedSpec(
            model=folder,
            prompts=random_prompts(shape, 256, 4, 24),
            lengths="mixed",
            batch_size=16,
            response_tokens=48,
            epochs=1,
            minibatches=2,
            steps=steps,
            warmup=0,
            threads=threads,
        )
        process, every = psutil.Process(), max(1, steps // 10)
        return [
            (record.step, process.memory_info().rss / 2**20)
            for record in make_trainer(spec).steps()
            if record.step % every == 0
        ]


def report(
    rows: list[Row], memory: list[tuple[int, float]], about: dict[str, str], date: str
) -> list[str]:
    """The result as lines of Markdown."""
    lines = [f"# How cost grows on the CPU, {date}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += [
        "One epoch of four minibatches, prompts of 32 tokens, LoRA rank 16 on all layers, float32; "
        "the faster of two steps after one. Memory is the resident set over that of the imports.",
        "",
    ]
    for grows in dict.fromkeys(row.grows for row in rows):
        lines += [f"## {grows}", ""]
        table = [(grows, "tokens a step", "seconds a step", "tokens/s", "peak MiB")]
        table += [
            (
                f"{row.value:,}",
                f"{row.tokens:,}",
                f"{row.seconds:.2f}",
                f"{row.tokens / row.seconds:,.0f}",
                f"{row.peak_mib:,.0f}",
            )
            for row in rows
            if row.grows == grows
        ]
        lines += [*markdown_table(table), ""]
    if memory:
        lines += ["## Memory over many steps", ""]
        lines += markdown_table(
            [("steps", "resident MiB"), *((f"{s:,}", f"{mib:,.1f}") for s, mib in memory)]
        )
        growth = memory[-1][1] - memory[0][1]
        lines += [
            "",
            f"From step {memory[0][0]:,} to step {memory[-1][0]:,}: {growth:+.1f} MiB.",
        ]
    return lines


def main() -> None:
    """Measure every row, then the long run, and write both down."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--flat-steps", type=int, default=1000, help="steps of the long run; 0: none"
    )
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[Row] = []
    wanted = [
        *(("response tokens", n, SMALL, 8, n) for n in LENGTHS),
        *(("batch", n, SMALL, n, 64) for n in BATCHES),
        *(("hidden width", shape.hidden, shape, 16, 64) for shape in MODELS),
    ]
    for grows, value, shape, batch, tokens in wanted:
        rows.append(grown(grows, value, shape, batch, tokens, arguments.threads))
        print(f"{grows} {value}: {rows[-1].seconds:.2f} s a step", file=sys.stderr, flush=True)
    memory = flat(arguments.flat_steps, arguments.threads) if arguments.flat_steps else []
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    about = machine() | versions("ppo-tui", "torch", "transformers", "peft")
    lines = report(rows, memory, about, date)
    print("\n".join(lines))
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"bench-growth-{date}"
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    measured = {"date": date, "about": about, "memory": memory}
    path.with_suffix(".json").write_text(
        json.dumps({**measured, "rows": [asdict(row) for row in rows]}, indent=1) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
