"""The list of models, alone in a tiny app: what is here, what the hub has, why not."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from huggingface_hub import constants
from prepare.model_folders import cached_model, model_folder
from textual.widgets import Input, Static

from ppo_tui.prepare.models import ModelEntry, Place
from ppo_tui.screens.dialogs import Ask
from ppo_tui.screens.widgets.find_input import FindInput
from ppo_tui.screens.widgets.model_picker import ModelList, ModelPicker, facts_of

from .host import Host


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    place.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    return place


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/api/models":
            self.send_error(404)
            return
        words = parse_qs(url.query)["search"][0]
        model = {
            "id": f"org/{words}-small",
            "safetensors": {"parameters": {"BF16": 494032768}, "total": 494032768},
            "config": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
            "tags": ["license:mit"],
            "gated": False,
        }
        content = json.dumps([model]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"))
        yield
        server.shutdown()
        thread.join()


class PickerHost(Host):
    def __init__(self) -> None:
        super().__init__(ModelPicker())
        self.taken: list[ModelEntry] = []

    def on_model_picker_chosen(self, event: ModelPicker.Chosen) -> None:
        self.taken.append(event.entry)

    @property
    def rows(self) -> list[str]:
        return [str(option.prompt) for option in self.query_one(ModelList).options]

    def text_of(self, selector: str) -> str:
        return str(self.query_one(selector, Static).content)


async def settled(app: PickerHost, pilot) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()


async def test_what_is_on_this_machine_is_listed_and_a_folder_can_be_named():
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        assert app.rows == ["  bundled  687k  2.7 MiB", "  o a folder …"]
        assert app.text_of("#model-hub") == "hub: offline (HF_HUB_OFFLINE is set)"


async def test_a_cached_model_is_listed_and_taken_with_enter(cache):
    cached_model(cache, "org/model")
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        assert app.rows[1] == "  org/model  152  0.0 MiB  cache"
        app.query_one(ModelList).focus()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert [entry.name for entry in app.taken] == ["org/model"]


async def test_a_model_that_cannot_be_used_shows_the_reason_and_is_not_taken(cache):
    cached_model(cache, "org/gguf", without=("model.safetensors",), model__gguf="x")
    app = PickerHost()
    async with app.run_test(size=(100, 24)) as pilot:
        await settled(app, pilot)
        assert app.rows[1] == ("✗ org/gguf  its weights are GGUF only; ppo-tui reads .safetensors")
        app.query_one(ModelList).focus()
        await pilot.press("down", "space")
        await pilot.pause()
        assert app.taken == []
        assert app.text_of("#model-hub") == (
            "✗ cannot be used: its weights are GGUF only; ppo-tui reads .safetensors"
        )


async def test_a_damaged_model_hides_no_other_and_is_told(cache):
    cached_model(cache, "org/good")
    (cache / "models--org--bad").mkdir()
    app = PickerHost()
    async with app.run_test(size=(100, 24)) as pilot:
        await settled(app, pilot)
        assert [row.split()[0] for row in app.rows] == ["bundled", "org/good", "✗", "o"]
        assert app.text_of("#model-hub").startswith("1 damaged in the cache: Snapshots dir")


async def test_the_model_that_the_run_has_is_marked_even_if_it_is_not_here():
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        app.query_one(ModelPicker).show("bundled", None)
        await pilot.pause()
        assert app.rows[0].startswith("● bundled")
        app.query_one(ModelPicker).show("org/elsewhere", None)
        await pilot.pause()
        assert app.rows[0] == "● org/elsewhere  hub"
        assert app.text_of("#model-facts") == (
            "not on this machine, and the hub is not asked: offline (HF_HUB_OFFLINE is set)"
        )


async def test_typed_words_find_models_of_this_machine_and_say_why_the_hub_is_not_asked(cache):
    cached_model(cache, "org/apple")
    cached_model(cache, "org/pear")
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        app.query_one(ModelList).focus()
        await pilot.press("slash", *"pear")
        await pilot.pause()
        assert [row.split()[0] for row in app.rows] == ["org/pear", "o"]
        assert app.text_of("#model-hub") == (
            "the hub is not asked: offline (HF_HUB_OFFLINE is set)"
        )
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.rows) == 4
        assert app.query_one(ModelList).has_focus


async def test_the_hub_is_asked_when_the_typing_pauses(hub, cache):
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press(*"tiny")
        assert app.text_of("#model-hub") == "the hub is asked when you pause"
        app.query_one(ModelPicker)._paused()  # as the timer does
        await settled(app, pilot)
        assert app.rows[0] == "  org/tiny-small  494M  hub"
        assert app.text_of("#model-hub") == "1 model found on the hub"
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.taken[0].licence == "mit"


async def test_a_hub_that_is_out_of_reach_is_told_in_words(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press(*"tiny")
        app.query_one(ModelPicker)._paused()
        await settled(app, pilot)
        assert app.text_of("#model-hub") == (
            "The hub (http://127.0.0.1:9) cannot be asked: it cannot be reached."
        )


async def test_a_path_that_is_typed_is_looked_into(tmp_path):
    folder = model_folder(tmp_path / "mine")
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        app.query_one(FindInput).value = str(folder)
        await pilot.pause()
        assert app.text_of("#model-hub") == "enter looks into this folder"
        await pilot.press("enter")
        await settled(app, pilot)
        assert [entry.name for entry in app.taken] == [str(folder)]
        assert len(app.rows) == 3


@pytest.mark.parametrize("way", ["key", "row"])
async def test_a_folder_is_asked_for_and_refused_with_the_reason(tmp_path, way):
    app = PickerHost()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        app.query_one(ModelList).focus()
        await pilot.press(*(["o"] if way == "key" else ["end", "enter"]))
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        app.screen.query_one(Input).value = str(tmp_path)
        await pilot.press("enter")
        await pilot.pause()
        await settled(app, pilot)
        assert app.taken == []
        assert app.text_of("#model-hub") == "✗ cannot be used: it has no config.json"


async def test_names_of_folders_and_models_are_shown_literally(cache, tmp_path):
    (cache / "models--org--[bold]x\x1b[31m" / "snapshots").mkdir(parents=True)
    app = PickerHost()
    async with app.run_test(size=(100, 24)) as pilot:
        await settled(app, pilot)
        assert app.rows[1].startswith("✗ org/[bold]x\\x1b[31m  incomplete: no file of it is here")


def test_all_that_is_known_of_a_model_stands_in_one_line():
    entry = ModelEntry(
        "org/model",
        Place.CACHE,
        parameters=494032768,
        bytes=2**30,
        model_type="qwen2",
        licence="apache-2.0",
        note="gated",
    )
    assert str(facts_of(entry)) == (
        "weights 494M; size 1.00 GiB; type qwen2; licence apache-2.0; gated"
    )
    assert str(facts_of(ModelEntry("x", Place.HUB))) == "nothing is known of it yet"
