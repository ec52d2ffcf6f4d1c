"""A short run of `make soak`, and that its checks would see what they are for."""

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from tools.soak import SETTINGS, Probe, growing, inconsistent, slope, soak


def probes(**growth):
    """Probes over 5,000 steps that grow by so much in each of them."""
    start = {"rss": 490.0, "uss": 370.0, "fds": 7, "threads": 1, "files": 17}
    return [
        Probe(step, **{key: value + growth.get(key, 0) * step for key, value in start.items()})
        for step in range(50, 5001, 50)
    ]


def test_a_worker_that_stays_as_it_is_is_flat():
    assert growing(probes()) == []
    assert slope(probes()) == pytest.approx(0.0)


def test_memory_that_creeps_is_told_with_its_slope():
    assert slope(probes(rss=0.008)) == pytest.approx(8.0)
    assert growing(probes(rss=0.008)) == ["resident memory grew by 8.0 MiB in a thousand steps"]


def test_what_is_taken_while_a_worker_settles_is_no_growth():
    jumped = [
        Probe(p.step, p.rss + 40 * (p.step > 300), p.uss, p.fds, p.threads, p.files)
        for p in probes()
    ]
    assert growing(jumped) == []


@pytest.mark.parametrize("name", ["fds", "threads", "files"])
def test_files_and_threads_that_are_never_given_back_are_told(name):
    assert any(name in words for words in growing(probes(**{name: 1})))


@pytest.mark.slow
def test_a_soaked_run_is_consistent_and_what_is_missing_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    resolved = resolve("demo", [*SETTINGS, "checkpoint.every=4", "steps=10"])
    run = RunDirectory.create(tmp_path / "run", resolved.to_yaml(), total=10)
    seen, code = soak(run, 1)
    assert code == 0
    assert all(probe.rss > 100 and probe.fds > 3 for probe in seen)
    assert inconsistent(run, resolved.config) == []

    lines = run.samples_path.read_bytes().splitlines(keepends=True)
    run.samples_path.write_bytes(b"".join(lines[:-1]))
    (run.path / ".left").touch()
    assert set(inconsistent(run, resolved.config)) == {
        "the samples are not each there once",
        "something hidden is left behind",
        f"the checkpoint's offset {sum(map(len, lines))} does not fit samples.jsonl",
    }
