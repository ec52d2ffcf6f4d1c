"""`ppo-tui models`: what is listed, what the hub is asked, how a refusal ends."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

ANSWER = [
    {
        "id": "org/Small-Instruct",
        "pipeline_tag": "text-generation",
        "safetensors": {"parameters": {"BF16": 494032768}, "total": 494032768},
        "config": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
        "cardData": {"license": "apache-2.0"},
        "tags": ["license:apache-2.0"],
        "gated": False,
        "usedStorage": 988097824,
    },
    {"id": "org/Small-GGUF", "tags": ["gguf"], "gated": False},
]


class Hub(ThreadingHTTPServer):
    """Answers like the hub, and remembers what it was asked."""

    asked: list[dict[str, list[str]]]

    def __init__(self) -> None:
        self.asked = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/api/models":  # its client asks for other things on its own account
            self.send_error(404)
            return
        self.server.asked.append(parse_qs(url.query))
        content = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with Hub() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_the_list_holds_the_bundled_model_and_says_that_the_cache_is_empty(ppo_tui, cache):
    said = ppo_tui("models", "list")
    assert said.code == 0
    assert said.out.splitlines()[1].split()[:5] == ["bundled", "687k", "2.7", "MiB", "llama"]
    assert "cache is empty" in said.err


def test_the_list_as_json_shows_a_damaged_model_with_its_reason(ppo_tui, cache):
    (cache / "models--org--broken").mkdir()
    answer = ppo_tui("models", "list", "--json").json
    assert [model["name"] for model in answer["models"]] == ["bundled", "org/broken"]
    assert answer["models"][1]["usable"] is False
    assert answer["models"][1]["problem"].startswith("its files in the cache are damaged")
    assert len(answer["warnings"]) == 1


def test_the_search_asks_the_hub_for_models_that_generate_text(ppo_tui, hub, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    said = ppo_tui("models", "search", "small", "instruct")
    assert said.code == 0
    assert hub.asked[0]["search"] == ["small instruct"]
    assert hub.asked[0]["pipeline_tag"] == ["text-generation"]
    assert hub.asked[0]["limit"] == ["30"]
    good, bad = said.out.splitlines()[1:3]
    assert good.split()[:6] == ["org/Small-Instruct", "494M", "0.92", "GiB", "qwen2", "apache-2.0"]
    assert "only GGUF files" in bad


def test_the_search_as_json_is_json_alone(ppo_tui, hub):
    answer = ppo_tui("models", "search", "small", "--json").json
    assert [model["usable"] for model in answer["models"]] == [True, False]
    assert answer["models"][0]["parameters"] == 494032768


def test_a_search_offline_ends_with_4_and_the_reason(ppo_tui):
    said = ppo_tui("models", "search", "small", "--json")
    assert said.code == 4
    assert said.json["error"]["code"] == "hub.offline"


def test_a_hub_that_cannot_be_reached_ends_with_4(ppo_tui, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    said = ppo_tui("models", "search", "small")
    assert said.code == 4
    assert said.err == (
        "error: The hub (http://127.0.0.1:9) cannot be asked: it cannot be reached.\n"
    )


def test_checking_the_bundled_model_finds_nothing_wrong(here):
    said = here("models", "check", "bundled")
    assert said.code == 0
    assert said.out.splitlines()[0] == "bundled can be used."


def test_checking_a_folder_that_is_no_model_ends_with_4(here, tmp_path):
    said = here("models", "check", str(tmp_path), "--json")
    assert said.code == 4
    assert said.json["problem"] == "it has no config.json"


def test_checking_a_model_that_is_not_here_ends_with_4(here):
    said = here("models", "check", "org/nowhere")
    assert said.code == 4
    assert "hf download org/nowhere" in said.err


def test_a_name_with_escape_sequences_is_printed_harmlessly(here, tmp_path):
    folder = tmp_path / "\x1b[31mred"
    folder.mkdir()
    said = here("models", "check", str(folder))
    assert "\x1b" not in said.out
    assert "\\x1b[31mred cannot be used" in said.out
