"""A home in which every text that ppo-tui did not write would take over a terminal that obeyed it.

Whoever made these files knows the formats: they are read, and their texts are shown.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory

ESCAPES = (
    "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[2J\x1bP+q\x1b\\\x9b31m\x9d0;x\x9c\u202egnirts\u2066"
    "\x00\rover\x7f\u2028\x08\x08[red on white]x[/][/red] {0} %s a" + "\u0301" * 40
)
LONG = "word " * 200_000
SURROGATES = "\ud800\udfff\ud83d"
BAD = f"{ESCAPES}\nsecond line {SURROGATES}"
NAME = "ba\x1b]0;owned\x07\x9b31m\n[red]d\u202e"
"""Of a run's folder."""

KEPT = "\u200d\ufe0e\ufe0f"


def untamed(text: str, also: str = "\n") -> list[str]:
    """What a terminal would obey in a text, each with what stands before it."""
    return [
        repr(text[max(0, at - 60) : at + 10])
        for at, char in enumerate(text)
        if not char.isprintable() and char not in KEPT + also
    ]


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lines(path: Path, *values: Any) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def configuration() -> str:
    """A valid one with hostile texts, which YAML allows as escapes."""
    words = ESCAPES + "\nsecond line"
    quoted = json.dumps(words)
    text = resolve("demo", ["steps=30"]).to_yaml()
    # YAML refuses control characters even in a comment; markup and marks it does not.
    lines = ["# preset: [red]x[/] " + "a" + "\u0301" * 40]
    for line in text.splitlines():
        if line.startswith("description:"):
            line = f"description: {quoted}"
        if line.strip().startswith("system:"):
            line = f"  system: {quoted}"
        if line.strip().startswith("template:"):
            line = "  template: chat"
        lines.append(line)
    return "\n".join(lines) + "\n"


def events(words: str) -> list[dict[str, Any]]:
    answer = {"prompt": words, "response": words, "score": 0.5}
    pair = {"prompt": words, "base": words, "tuned": words, "base_score": 0.1, "tuned_score": 0.9}
    metrics = {"reward/score": 0.5, "kl/ref": 1.0, f"reward/{words}": 0.1, words: 2.0}
    kinds: list[dict[str, Any]] = [
        {"kind": "log", "message": words, "level": words, "device": words},
        {"kind": "state", "state": "rollout", "message": words},
        {"kind": "answers", "who": "base", "answers": [answer]},
        {"kind": "step", "metrics": metrics},
        {"kind": "health", "code": words, "message": words, "hint": words, "level": words},
        {"kind": "health", "code": "kl.high", "message": words, "hint": words, "level": "warning"},
        {"kind": "answers", "who": "policy", "answers": [answer]},
        {"kind": "eval", "metrics": {"eval/score_base": 0.1, words: 1.0}, "pairs": [pair]},
        {"kind": "checkpoint", "path": f"checkpoints/{words}"},
        {"kind": words, "message": words},
    ]
    return [{"v": 1, "time": 1.7e9 + at, "step": 1, **kind} for at, kind in enumerate(kinds)]


def samples(words: str) -> list[dict[str, Any]]:
    token = {"text": words, "logprob": -1.0, "ref_logprob": -1.0, "value": 0.1, "advantage": 0.1}
    sample = {
        "v": 1,
        "time": 1.7e9,
        "id": words,
        "step": 1,
        "prompt": words,
        "response": words,
        "score": 0.5,
        "terms": {words: 0.5, "other": 0.1},
        "kl": 1.0,
        "length": 2,
        "finished": False,
    }
    return [sample, {**sample, "id": "1-1", "tokens": [token, token]}]


def pool(words: str) -> list[dict[str, Any]]:
    one = {
        "v": 1,
        "time": 1.7e9,
        "kind": "candidate",
        "step": 0,
        "prompt": words,
        "response": words,
        "length": 3,
        "finished": False,
        "reading": "",
    }
    return [
        {**one, "id": f"{number}{words}", "response": f"{number}{words}"} for number in range(3)
    ]


def ratings(words: str) -> list[dict[str, Any]]:
    about = {"sample": words, "prompt": words, "response": words, "step": 0, "reading": ""}
    one = {"v": 1, "time": 1.7e9, "note": words, "model": words, "base": words, "run": words}
    pair = {"first": about, "second": {**about, "response": f"other{words}"}, "choice": 1.0}
    return [
        {**one, "kind": "rating", "rater": words, "id": words, "about": about, "rating": 4},
        {**one, "kind": "pair", "rater": f"2{words}", "id": f"2{words}", **pair},
        {**one, "kind": words, "rater": words, "id": "x"},
    ]


def checkpoint(run: RunDirectory) -> Path:
    """A checkpoint that is whole, with an adapter of a few bytes."""
    folder = run.checkpoints_path / "step-000001"
    (folder / "policy").mkdir(parents=True)
    plain = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["q"]}
    write_json(folder / "policy" / "adapter_config.json", plain)
    (folder / "policy" / "adapter_model.safetensors").write_bytes(
        b"\x02\x00\x00\x00\x00\x00\x00\x00{}"
    )
    (folder / "policy" / "README.md").write_text(ESCAPES)
    write_json(folder / "state.json", {})
    hashes = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    write_json(folder / "manifest.json", {"v": 1, "sha256": hashes})
    return folder


def hostile_run(root: Path, name: str = NAME, words: str = BAD) -> RunDirectory:
    """A failed run all of whose texts are hostile."""
    run = RunDirectory.create(root / name, configuration(), total=30)
    state = {
        "v": 1,
        "state": "failed",
        "step": 1,
        "total": 30,
        "started": 1.7e9,
        "updated": 1.7e9,
        "message": words[:5000],
        "error": dict.fromkeys(("code", "message", "hint"), words[:5000]),
    }
    write_json(run.state_path, state)
    write_lines(run.events_path, *events(words))
    write_lines(run.samples_path, *samples(words))
    write_lines(run.pool_path, *pool(words))
    write_lines(run.ratings_path, *ratings(words))
    write_json(run.lock_path, {"v": 1, "pid": 1, "started": 0.0, "boot": words, "host": words})
    write_json(run.launch_path, {"v": 1, "pid": 1, "time": 1.0, "boot": words})
    encoded = words.encode("utf-8", "replace")
    run.log_path.write_bytes(encoded + b"\n" + b"L" * (1 << 20) + b"\xff\xfe\n" + encoded)
    write_json(run.control_path / f"{'x' * 8}\x1b[2J.json", {"kind": words})
    checkpoint(run)
    return run


def broken_run(root: Path) -> RunDirectory:
    """A run nothing of which can be read, for reasons that hold hostile text."""
    run = RunDirectory.create(root / f"broken{NAME}", "x: 1\n")
    run.config_path.write_text(f"# preset: \x1b[2J\nmodel: {{{ESCAPES!r}: 1}}\n", encoding="utf-8")
    write_json(run.state_path, {"v": 1, "state": BAD, "step": BAD})
    run.events_path.write_bytes(b"\x1b[2J\n{" + b"\x00" * 100 + b"\n")
    return run


def presets(folder: Path) -> None:
    """Two of the user's own: one that is valid, and one that is not."""
    folder.mkdir(parents=True)
    quoted = json.dumps(ESCAPES)
    (folder / "own.yaml").write_text(f"# \x85 {quoted}\ndescription: {quoted}\nsteps: 3\n")
    (folder / "ba\x1b[31md.yaml").write_text(f"{quoted}: {quoted}\n")
    (folder / "raw.yaml").write_text("description: \x1b[2J\n")


def model(folder: Path) -> Path:
    """A model folder that describes itself in hostile words."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"model_type": BAD, "architectures": [BAD]})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": BAD})
    (folder / "README.md").write_text(f"---\nlicense: {json.dumps(ESCAPES)}\n---\n", "utf-8")
    return folder


def home(place: Path) -> RunDirectory:
    """All of it in a home; the run that can be read."""
    run = hostile_run(place / "runs")
    broken_run(place / "runs")
    presets(place / "presets")
    return run
