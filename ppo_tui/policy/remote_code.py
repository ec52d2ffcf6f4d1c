"""Code that comes with a model: none of it is imported unless the user has confirmed it.

`model.trust_remote_code` in a configuration is only a request. Where the model lies in a local
folder, transformers is given a private copy of exactly the Python files that were confirmed, beside
links to the weights: what is imported is what was hashed, whatever happens to the folder meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ppo_tui import trust
from ppo_tui.config.schema import BUNDLED, ModelConfig
from ppo_tui.errors import ConfigError, ModelError
from ppo_tui.runs.paths import shown

_COPIED = ("config.json", "tokenizer_config.json")
_CHOICES = ("attn_implementation", "_attn_implementation", "experts_implementation")


@contextmanager
def confirmed_source(config: ModelConfig, source: str) -> Iterator[tuple[str, bool]]:
    """Where to load the model from, and whether its own code may be imported.

    Args:
        config: The model.
        source: The folder or hub id behind its name.

    Raises:
        ConfigError: It asks for code that the user has not confirmed (`trust.model`).
        ModelError: It asks for code though `trust_remote_code` is off (`model.remote_code`).
        ResourceError: A Python file of the folder cannot be read (`model.unreadable`).
    """
    if not config.trust_remote_code or config.name == BUNDLED:
        _refuse_kernels(config, _said_by(config, source))
        yield source, False
        return
    folder = trust.folder_of(source)
    if folder is None:
        trust.require([trust.hub_model(source, config.revision)])
        trust.require(map(trust.hub_model, _others(_said_by(config, source), source)))
        yield source, True
        return
    files = trust.python_files(folder)
    trust.require([trust.folder_code(folder, files)])
    with tempfile.TemporaryDirectory(prefix="ppo-tui-model-") as private:
        copy = Path(private) / (folder.name or "model")
        _copy(folder, files, copy)
        values = trust.read_maps(copy)
        trust.require(map(trust.hub_model, _others(values)))
        _refuse_strays(config.name, values, files)
        yield str(copy), True


def _copy(folder: Path, files: dict[str, bytes], to: Path) -> None:
    """A folder with these Python files, the model's own settings, and links to all its rest."""
    to.mkdir()
    for name, content in files.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(content)
    for path in folder.iterdir():
        if path.is_dir() or path.suffix == ".py":
            continue
        if path.name in _COPIED:
            (to / path.name).write_bytes(path.read_bytes())
        else:
            (to / path.name).symlink_to(path)


def _refuse_strays(name: str, values: list[Any], files: dict[str, bytes]) -> None:
    """Refuse a model that takes a class from a file outside of its own folder."""
    for reference in trust.code_references(values):
        module = reference.split(".")[0]
        if "--" not in reference and f"{module}.py" not in files:
            raise ConfigError(
                f"The model {shown(name)} takes code from {shown(module)}.py, which is not among "
                "the Python files in its folder: it is not loaded.",
                code="trust.model",
            )


def _others(values: list[Any], own: str = "") -> list[str]:
    return sorted(trust.foreign_repositories(values, own))


def _refuse_kernels(config: ModelConfig, values: list[Any]) -> None:
    """Refuse a config.json that names a kernel of the hub, which is code of somebody's."""
    for kernel in (text for value in values for text in _kernels(value)):
        raise ModelError(
            f"The config.json of {shown(config.name)} asks for code from the hub "
            f"({shown(kernel)}), and model.trust_remote_code is off.",
            hint="Turn it on only if you trust the author: the code runs on this machine.",
            code="model.remote_code",
        )


def _kernels(value: object) -> list[str]:
    if not isinstance(value, dict):
        return []
    chosen = [text for key in _CHOICES for text in _strings(value.get(key)) if "/" in text]
    return chosen + [text for each in value.values() for text in _kernels(each)]


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _strings(each)]
    return [value] if isinstance(value, str) else []


def _said_by(config: ModelConfig, source: str) -> list[Any]:
    """What the model's files say of it; nothing is imported for it, though it may be fetched."""
    folder = trust.folder_of(source)
    if folder is not None:
        return trust.read_maps(folder)
    from transformers import PretrainedConfig
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    return [
        PretrainedConfig.get_config_dict(source, revision=config.revision)[0],
        get_tokenizer_config(source, revision=config.revision),
    ]
