"""Runs the app on the terminal it is given and measures it from inside; for `bench_ui`.

    python -m benchmarks.ui_probe OUT.json SECONDS [RUN [REPLAY]]

Beside the app, a task wakes up every 5 ms and notes by how much it was late: that is how long a key
press would have waited. CPU time and memory are the operating system's own figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

BEAT = 0.005


def resident_mib() -> float:
    """Memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run the app for so many seconds and write down how it did."""
    out, seconds = Path(sys.argv[1]), float(sys.argv[2])
    began = float(os.environ.get("PROBE_BEGAN", time.time()))
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.screens.app import Opening, PpoTuiApp

    run = RunDirectory.open(Path(sys.argv[3])) if len(sys.argv) > 3 else None
    replay = float(sys.argv[4]) if len(sys.argv) > 4 else None
    # From the list of runs, as by its Enter key, or as the first screen of the process.
    from_list = bool(os.environ.get("PROBE_FROM_LIST"))
    app = PpoTuiApp(Opening(None if from_list else run, replay))
    lags: list[float] = []
    memory: list[float] = []
    cpu: list[tuple[float, float]] = []
    steps: list[int] = []
    opened: list[float] = []

    def newest() -> int:
        story: Any = getattr(app.screen, "story", None)
        return int(story.history.series("reward/score")[0][-1]) if _has_steps(story) else 0

    async def probe() -> None:
        nonlocal began
        if from_list and run is not None:
            await asyncio.sleep(2.0)
            began = time.time()
            app.call_later(app.open_run, run)
        # What comes before the first picture is the start, which is measured on its own.
        while run is not None and not newest():
            await asyncio.sleep(BEAT)
        opened.append(time.time() - began)
        await asyncio.sleep(3.0)
        cpu.append((time.perf_counter(), time.process_time()))
        until, looked = time.perf_counter() + seconds, 0.0
        while (now := time.perf_counter()) < until:
            await asyncio.sleep(BEAT)
            lags.append(time.perf_counter() - now - BEAT)
            if now - looked > 1.0:
                looked = now
                memory.append(resident_mib())
                steps.append(newest())
        cpu.append((time.perf_counter(), time.process_time()))
        app.exit()

    async def run_both() -> None:
        task = asyncio.create_task(probe())
        await app.run_async()
        task.cancel()

    asyncio.run(run_both())
    (wall_0, used_0), (wall_1, used_1) = cpu[0], cpu[-1]
    lags.sort()
    out.write_text(
        json.dumps(
            {
                "lag_p50_ms": 1000 * statistics.median(lags),
                "lag_p95_ms": 1000 * lags[int(0.95 * len(lags))],
                "lag_max_ms": 1000 * lags[-1],
                "cpu_share": (used_1 - used_0) / (wall_1 - wall_0),
                "memory_first_mib": statistics.median(memory[: max(1, len(memory) // 4)]),
                "memory_last_mib": statistics.median(memory[-max(1, len(memory) // 4) :]),
                "steps_first": steps[0],
                "steps_last": steps[-1],
                "opened_s": opened[0] if opened else None,
                "broken_by": repr(app.broken_by) if app.broken_by else None,
            }
        ),
        encoding="utf-8",
    )


def _has_steps(story: Any) -> bool:
    return story is not None and len(story.history.series("reward/score")[0]) > 0


main()
