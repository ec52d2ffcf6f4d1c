"""Where a model's config.json is: in a local folder, in the hub's cache, or on the hub.

Only this one small file is ever downloaded here, and only where the hub may be asked.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ppo_tui.config.schema import BUNDLED, ModelConfig
from ppo_tui.errors import ModelError

CONFIG = "config.json"
MAX_CONFIG_BYTES = 10_000_000
"""A config.json larger than this is not one."""

CONNECT_SECONDS = 3.0
"""How long the hub may take to answer a first call; its own client retries for half a minute."""


def find_config(model: ModelConfig) -> Path:
    """The config.json of `model`, downloaded if it is to be had only on the hub.

    Raises:
        ModelError: There is no such folder, or the model is neither in the cache nor to be had from
            the hub (``model.missing``); there is a file where a folder should be
            (``model.not_a_folder``); there is no config.json (``model.not_a_model``).
    """
    if model.name == BUNDLED:
        from ppo_tui.assets import model_dir

        return _in_folder(model_dir(), "the bundled model")
    path = Path(model.name).expanduser()
    if _means_a_path(model.name, path):
        return _in_folder(path, model.name)
    return _on_the_hub(model)


def read_config(path: Path, name: str) -> dict[str, Any]:
    """The config.json at `path` as a mapping.

    Raises:
        ModelError: It cannot be read, or is not a JSON object (``model.bad_config``).
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(
                f"The config.json of {name} is larger than one can be ({MAX_CONFIG_BYTES} bytes).",
                code="model.bad_config",
            )
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"The config.json of {name} is not JSON: {' '.join(str(error).split())}.",
            code="model.bad_config",
        ) from error
    except OSError as error:
        raise ModelError(
            f"The config.json of {name} cannot be read: {error.strerror}.", code="model.unreadable"
        ) from error
    if not isinstance(data, dict):
        raise ModelError(
            f"The config.json of {name} holds a {type(data).__name__}, not an object.",
            code="model.bad_config",
        )
    return data


def _means_a_path(name: str, path: Path) -> bool:
    # A hub id has one slash at the most; a folder of that name comes first.
    return (
        path.is_absolute()
        or name.startswith((".", "~"))
        or name.count("/") > 1
        or os.path.lexists(path)
    )


def _in_folder(folder: Path, name: str) -> Path:
    try:
        if not folder.exists():
            raise ModelError(f"There is no model folder {name}.", code="model.missing")
        if not folder.is_dir():
            raise ModelError(
                f"{name} is a file; model.name takes the folder that holds config.json.",
                code="model.not_a_folder",
            )
        if not (folder / CONFIG).is_file():
            raise ModelError(
                f"{name} is no model folder: it has no config.json.", code="model.not_a_model"
            )
    except OSError as error:
        raise ModelError(
            f"{name} cannot be read: {error.strerror}.", code="model.missing"
        ) from error
    except ValueError as error:  # a path with a NUL in it
        raise ModelError(f"{name!r} is no path: {error}.", code="model.missing") from error
    return folder / CONFIG


def _on_the_hub(model: ModelConfig) -> Path:
    # Imported here: it takes a third of a second, which a local model need not pay.
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, where = model.name, f" at revision {model.revision}" if model.revision else ""
    try:
        cached = try_to_load_from_cache(name, CONFIG, revision=model.revision)
        if isinstance(cached, str):
            return Path(cached)
        if constants.is_offline_mode():
            raise _missing(name, "the hub may not be asked (HF_HUB_OFFLINE is set)")
        if not hub_reachable(constants.ENDPOINT):
            raise _missing(name, f"the hub ({constants.ENDPOINT}) cannot be reached")
        return Path(hf_hub_download(name, CONFIG, revision=model.revision))
    except HFValidationError as error:
        raise ModelError(
            f"{name!r} is neither a folder nor a hub id such as Qwen/Qwen2.5-0.5B-Instruct.",
            code="model.missing",
        ) from error
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is on the hub for those only who accepted its terms.",
            hint=f"Accept them at {constants.ENDPOINT}/{name}, then log in with `hf auth login`.",
            code="model.missing",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{name} is on the hub, but not{where or ' at that revision'}.", code="model.missing"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no model {name}, neither as a folder nor on the hub.",
            hint="A private model needs a log-in: `hf auth login`.",
            code="model.missing",
        ) from error
    except LocalEntryNotFoundError as error:
        raise _missing(name, "the hub cannot be reached") from error
    except EntryNotFoundError as error:
        raise ModelError(
            f"{name} on the hub is no model: it has no config.json.", code="model.not_a_model"
        ) from error
    except OSError as error:  # the hub's errors of transport derive from it
        raise _missing(name, f"the hub answered: {' '.join(str(error).split())[:200]}") from error


def _missing(name: str, why: str) -> ModelError:
    return ModelError(
        f"{name} is neither a local folder nor in the local Hugging Face cache, and {why}.",
        hint=f"Where there is a network: `hf download {name}`; or name a local folder.",
        code="model.missing",
    )


def hub_reachable(endpoint: str) -> bool:
    """Whether the hub's machine takes a connection; always, where a proxy stands between."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    url = urlsplit(endpoint)
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        with socket.create_connection((url.hostname or "", port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
