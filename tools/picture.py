"""`make picture`: the picture in the README, made from the real app over a real run of the demo.

Trains the demo in a home of its own, opens the app on it while it trains, and writes what it shows
to `docs/training.svg`. Takes as long as the demo.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "training.svg"
SIZE = (132, 37)
STEP = 26


async def picture(run_path: Path) -> str:
    """The training screen as SVG, once the run has come to `STEP`."""
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.screens.app import Opening, PpoTuiApp
    from ppo_tui.screens.training import TrainingScreen

    app = PpoTuiApp(Opening(RunDirectory.open(run_path)))
    async with app.run_test(size=SIZE) as pilot:
        while True:
            await pilot.pause(0.25)
            screen = app.screen
            if isinstance(screen, TrainingScreen) and screen.story.history.last_step >= STEP:
                break
        # The step's samples are read beside it.
        await pilot.pause(1.0)
        drawn: str = app.export_screenshot(title="ppo-tui")
        return drawn


def main() -> None:
    """Train, look, write."""
    with tempfile.TemporaryDirectory(prefix="picture-") as home:
        os.environ["PPO_TUI_HOME"] = home
        run = Path(home) / "runs" / "glad-reviews"
        program = [sys.executable, "-m", "ppo_tui"]
        command = [*program, "demo", "--detach", "--headless", "--run-dir", str(run)]
        subprocess.run(command, check=True)
        PICTURE.write_text(asyncio.run(picture(run)), encoding="utf-8")
        subprocess.run([*program, "stop", str(run), "--now"], check=True)
    print(PICTURE)


if __name__ == "__main__":
    main()
