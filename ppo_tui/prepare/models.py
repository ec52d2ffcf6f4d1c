"""The base models that are to be had on this machine, and why one cannot be used.

Three places: what ppo-tui ships, the local Hugging Face cache, a folder. The hub is asked by
`ppo_tui.prepare.hub`. Nothing is downloaded here, and no weights are read but their headers. Slow
on a large cache: a screen calls this from a thread.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_tui.config.schema import BUNDLED, ModelConfig
from ppo_tui.errors import ConfigError, ModelError
from ppo_tui.plan.architecture import Architecture, read_architecture
from ppo_tui.plan.weights import INDEX, count_safetensors
from ppo_tui.runs.paths import shown

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, CachedRevisionInfo

_CARDS = ("README.md", "MODEL_CARD.md")
_MOST_CARD_BYTES = 1 << 16
_TOKENIZERS = frozenset(
    {"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"}
)
_REPOSITORY = re.compile(r"models--([^/\\\s:]+)")
_LICENCES = {
    "Apache License": "apache-2.0",
    "MIT License": "mit",
}


class Place(StrEnum):
    """Where a model is."""

    BUNDLED = "bundled"
    CACHE = "cache"
    FOLDER = "folder"
    HUB = "hub"


@dataclass(frozen=True)
class ModelEntry:
    """A base model that a run could start from.

    Attributes:
        name: What `model.name` is set to for it.
        place: Where it is.
        revision: What `model.revision` is set to: None, unless only a certain commit is here.
        path: Its folder on this machine, or None.
        parameters: Number of its weights, or None where it is not known.
        bytes: What it takes on the disk, or None; on the hub, what its repository takes there.
        model_type: Its architecture as config.json names it, or an empty text.
        licence: Its licence as its card names it, or an empty text.
        problem: Why it cannot be used, in words; empty if it can.
        note: What else is good to know before it is chosen.
    """

    name: str
    place: Place
    revision: str | None = None
    path: Path | None = None
    parameters: int | None = None
    bytes: int | None = None
    model_type: str = ""
    licence: str = ""
    problem: str = ""
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether a run can start from it, as far as can be seen from here."""
        return not self.problem

    @property
    def weights(self) -> str:
        """The number of its weights as people write it, such as 494M or 7.6B; empty if unknown."""
        if self.parameters is None:
            return ""
        for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
            if self.parameters >= size:
                value = self.parameters / size
                return f"{value:.0f}{unit}" if value >= 100 else f"{value:.2g}{unit}"
        return str(self.parameters)

    def to_dict(self) -> dict[str, Any]:
        """The entry as plain data."""
        return {
            "name": self.name,
            "place": self.place.value,
            "revision": self.revision,
            "path": str(self.path) if self.path else None,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "model_type": self.model_type,
            "licence": self.licence,
            "usable": self.usable,
            "problem": self.problem,
            "note": self.note,
        }


@dataclass(frozen=True)
class Cache:
    """What the local Hugging Face cache holds.

    Attributes:
        models: Its models by name, those that can be used first.
        warnings: What the scan could not make sense of, one sentence each.
    """

    models: tuple[ModelEntry, ...]
    warnings: tuple[str, ...] = ()


def bundled_model() -> ModelEntry:
    """The model that ppo-tui ships."""
    from ppo_tui.assets import model_dir

    entry = _entry(BUNDLED, Place.BUNDLED, model_dir())
    entry = replace(entry, licence="apache-2.0")  # as ppo-tui's own
    return entry if entry.problem else replace(entry, note="comes with ppo-tui; for the demo")


def folder_model(folder: str) -> ModelEntry:
    """The model in a folder, given as a user types it."""
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    return _entry(str(path), Place.FOLDER, path)


def cached_models(cache: Path | None = None) -> Cache:
    """The models in the local Hugging Face cache.

    Args:
        cache: The cache's folder; by default the one that `HF_HUB_CACHE` or `HF_HOME` names.
    """
    # Imported here: it takes a third of a second, which most callers need not pay.
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    folder = Path(cache or constants.HF_HUB_CACHE)
    offline = constants.is_offline_mode()
    try:
        found = scan_cache_dir(folder)
    except CacheNotFound:
        return Cache(())
    except (OSError, ValueError) as error:
        # One repository that may not be read, say, ends the scan of all.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        warning = f"The cache {shown(folder)} cannot be scanned: {reason}."
        return Cache(tuple(_without_scan(folder)), (warning,))
    models = [_cached(repo, offline) for repo in found.repos if repo.repo_type == "model"]
    warnings = [" ".join(str(warning).split()) for warning in found.warnings]
    for text in warnings:
        name = _REPOSITORY.search(text)
        if name:
            reason = text.partition(":")[0]
            models.append(
                ModelEntry(
                    name[1].replace("--", "/"),
                    Place.CACHE,
                    problem=f"its files in the cache are damaged: {reason[:1].lower()}{reason[1:]}",
                )
            )
    models.sort(key=lambda entry: (not entry.usable, entry.name.lower()))
    return Cache(tuple(models), tuple(warnings))


def check_model(name: str) -> ModelEntry:
    """The model that `name` means in a configuration, looked for on this machine alone.

    Raises:
        ModelError: It is neither a folder nor in the cache (``model.missing``).
    """
    if name == BUNDLED:
        return bundled_model()
    path = Path(name).expanduser()
    if path.is_absolute() or name.startswith((".", "~")) or os.path.lexists(path):
        return folder_model(name)
    for entry in cached_models().models:
        if entry.name == name:
            return entry
    raise ModelError(
        f"{shown(name)} is neither a folder nor in the local Hugging Face cache.",
        hint=f"`hf download {shown(name)}` brings it; `ppo-tui models search` asks the hub.",
        code="model.missing",
    )


def _cached(repo: CachedRepoInfo, offline: bool) -> ModelEntry:
    revision = _revision_to_use(repo)
    if revision is None:
        return ModelEntry(repo.repo_id, Place.CACHE, problem="incomplete: no file of it is here")
    path = revision.snapshot_path
    entry = _entry(repo.repo_id, Place.CACHE, path, revision.size_on_disk)
    names = {file.file_name for file in revision.files}
    # Without the ref `main`, only the commit itself leads to these files without the hub.
    pinned = None if "main" in revision.refs else revision.commit_hash
    problem, note = entry.problem, entry.note
    if problem and _is_partial(names, path):
        if offline:
            problem = f"incomplete download: {problem}"
        else:
            problem, note = "", "only a part is here; the rest is downloaded at the start"
    return replace(entry, revision=pinned, problem=problem, note=note)


def _without_scan(cache: Path) -> Iterator[ModelEntry]:
    """The models of a cache by the names of its folders, each with its newest snapshot."""
    for repository in sorted(_names(cache)):
        name = repository.removeprefix("models--").replace("--", "/")
        if name == repository:
            continue
        snapshots = cache / repository / "snapshots"
        try:
            newest = max(snapshots.iterdir(), key=lambda path: path.stat().st_mtime)
        except (OSError, ValueError):
            yield ModelEntry(name, Place.CACHE, problem="its files in the cache cannot be read")
            continue
        main = cache / repository / "refs" / "main"
        pinned = None if main.is_file() else newest.name
        yield replace(_entry(name, Place.CACHE, newest), revision=pinned)


def _revision_to_use(repo: CachedRepoInfo) -> CachedRevisionInfo | None:
    """The snapshot that the model's name alone leads to, or else the newest."""
    revisions = sorted(repo.revisions, key=lambda r: ("main" in r.refs, r.last_modified))
    return revisions[-1] if revisions else None


def _is_partial(names: set[str], folder: Path) -> bool:
    """Whether a snapshot is what a part of a download left, not a model of another format."""
    if not names:
        return True
    if any(name.endswith((".gguf", ".bin", ".pt", ".pth", ".onnx")) for name in names):
        return False
    architecture, _ = _architecture(folder)
    if architecture is None:  # no download changes what its config.json says
        return False
    return count_safetensors(folder, architecture.tied) is None or not names & _TOKENIZERS


def _entry(name: str, place: Place, folder: Path, size: int | None = None) -> ModelEntry:
    architecture, problem = _architecture(folder)
    if architecture is not None:
        problem = _without_weights(folder, architecture) or _without_tokenizer(folder)
    counted = architecture is not None and (architecture.exact or not problem)
    return ModelEntry(
        name=name,
        place=place,
        path=folder,
        parameters=architecture.parameters if architecture is not None and counted else None,
        bytes=_size_of(folder) if size is None else size,
        model_type=architecture.model_type if architecture is not None else "",
        licence=licence_of(folder),
        problem=problem,
        note=_estimated(architecture) if architecture is not None and not problem else "",
    )


def _architecture(folder: Path) -> tuple[Architecture | None, str]:
    """The shape of the model in a folder, or why there is none, in words."""
    try:
        return read_architecture(ModelConfig(name=str(folder))), ""
    except ModelError as error:
        if error.code == "model.not_a_model":
            return None, _what_is_there_instead(folder)
        # The sentence names the folder; the entry does so already.
        text = error.message.rstrip(".")
        for words, shorter in (
            (f"There is no model folder {folder}", "there is no such folder"),
            (f"The config.json of {folder}", "its config.json"),
            (f"{folder}{os.sep}", ""),
            (str(folder), "it"),
        ):
            text = text.replace(words, shorter)
        return None, text


def _what_is_there_instead(folder: Path) -> str:
    names = _names(folder)
    if any(name.endswith(".gguf") for name in names):
        return "only GGUF files; ppo-tui needs config.json and .safetensors weights"
    if "adapter_config.json" in names:
        return "an adapter, no base model: it has no config.json"
    return "it has no config.json"


def _without_weights(folder: Path, architecture: Architecture) -> str:
    try:
        if architecture.exact or count_safetensors(folder, architecture.tied) is not None:
            return ""
    except ModelError as error:
        return error.message.replace(f"{folder}{os.sep}", "").rstrip(".")
    names = _names(folder)
    if INDEX in names or any(re.match(r"model-\d+-of-\d+\.safetensors", name) for name in names):
        return "some of its .safetensors files are missing"
    if any(name.endswith(".gguf") for name in names):
        return "its weights are GGUF only; ppo-tui reads .safetensors"
    if any(name.endswith((".bin", ".pt", ".pth")) for name in names):
        return "its weights are pickled (.bin), which can run code; ppo-tui reads .safetensors"
    return "it has no weights (no model.safetensors)"


def _without_tokenizer(folder: Path) -> str:
    return "" if _names(folder) & _TOKENIZERS else "it has no tokenizer (no tokenizer.json)"


def _estimated(architecture: Architecture) -> str:
    if architecture.estimated:
        return f"{architecture.model_type or 'its architecture'} is not known in detail"
    return ""


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):
        return set()


def _size_of(folder: Path) -> int | None:
    """Bytes of the files that lie in the folder itself."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())
    except (OSError, ValueError):
        return None


def licence_of(folder: Path) -> str:
    """The licence that a model's card names in its front matter; empty where it names none."""
    for card in _CARDS:
        with contextlib.suppress(OSError, ValueError, ConfigError):
            if named := _licence_in(_beginning(folder / card)):
                return named
    with contextlib.suppress(OSError, ValueError):
        text = _beginning(folder / "LICENSE")[:400]
        return next((short for words, short in _LICENCES.items() if words in text), "")
    return ""


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_CARD_BYTES).decode("utf-8", errors="replace")


def _licence_in(card: str) -> str:
    from ppo_tui.config.yaml_io import load_yaml

    found = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", card, re.DOTALL)
    data = load_yaml(found[1], "the model card") if found else None
    return licence_in(data) if isinstance(data, dict) else ""


def licence_in(card: Any) -> str:
    """The licence in a card's front matter: `license`, or what `other` stands for."""
    licence, name = card.get("license"), card.get("license_name")
    if licence == "other" and isinstance(name, str):
        return name
    if isinstance(licence, list):
        licence = ", ".join(str(item) for item in licence)
    return licence if isinstance(licence, str) else ""
