"""The search for base models on the Hugging Face hub. Nothing is downloaded here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ppo_tui.errors import ModelError
from ppo_tui.plan.model_files import hub_reachable
from ppo_tui.prepare.models import ModelEntry, Place, licence_in

MOST_RESULTS = 30
SEARCH_SECONDS = 8.0
"""How long the hub may take; its own client would go on asking for minutes."""

_ASKED_FOR = ["safetensors", "config", "cardData", "gated", "tags", "gguf", "usedStorage"]

T = TypeVar("T")


def why_offline() -> str:
    """Why the hub may not be asked, in words; empty if it may."""
    from huggingface_hub import constants

    return "offline (HF_HUB_OFFLINE is set)" if constants.is_offline_mode() else ""


def keep_off_the_screen() -> None:
    """Keep the hub's client from writing progress bars and retries to stderr.

    For a process that shows by itself how things stand; what goes wrong is raised all the same.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:  # else the environment has decided
        disable_progress_bars()


def search_hub(words: str, limit: int = MOST_RESULTS) -> tuple[ModelEntry, ...]:
    """Models for text generation on the hub whose name holds `words`, the most used first.

    Raises:
        ModelError: The hub may not be asked (``hub.offline``), cannot be reached or does not answer
            in time (``hub.unreachable``).
    """
    from huggingface_hub import HfApi, constants

    if why_offline():
        raise ModelError(
            "The hub may not be asked: HF_HUB_OFFLINE is set.",
            hint="Unset HF_HUB_OFFLINE, or choose among the models that are here.",
            code="hub.offline",
        )
    if not hub_reachable(constants.ENDPOINT):
        raise _unreachable(constants.ENDPOINT, "it cannot be reached")
    keep_off_the_screen()

    def ask() -> list[Any]:
        return list(
            HfApi().list_models(
                search=words,
                pipeline_tag="text-generation",
                sort="downloads",
                limit=limit,
                expand=_ASKED_FOR,  # type: ignore[arg-type]
            )
        )

    try:
        found = _within(SEARCH_SECONDS, ask)
    except TimeoutError as error:
        raise _unreachable(
            constants.ENDPOINT, f"it did not answer within {SEARCH_SECONDS:g} s"
        ) from error
    # The hub's client passes on the errors of whichever HTTP library it is built on: all of them
    # mean that there is no answer, and the user reads why.
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise _unreachable(constants.ENDPOINT, text[:200]) from error
    return tuple(entry_of(model) for model in found)


def entry_of(model: Any) -> ModelEntry:
    """What the hub says of a model (a `huggingface_hub.ModelInfo`)."""
    config = model.config if isinstance(model.config, Mapping) else {}
    kind = config.get("model_type")
    weights = model.safetensors
    size = getattr(model, "used_storage", None)
    return ModelEntry(
        name=str(model.id),
        place=Place.HUB,
        parameters=weights.total if weights is not None else None,
        bytes=size if isinstance(size, int) else None,
        model_type=kind if isinstance(kind, str) else "",
        licence=_licence(model),
        problem=_problem(model, config),
        note="gated: accept its terms on the hub and log in" if model.gated else "",
    )


def _problem(model: Any, config: Mapping[str, Any]) -> str:
    tags = model.tags or []
    if model.safetensors is None:
        if model.gguf is not None or "gguf" in tags:
            return "only GGUF files; ppo-tui needs .safetensors weights"
        return "its weights are not in .safetensors"
    if not config:
        return "it has no config.json"
    if "custom_code" in tags:
        return ""  # its class is its own; whether its code may run is asked for elsewhere
    classes = [name for name in config.get("architectures") or [] if isinstance(name, str)]
    causal = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    if classes and not any(name.endswith(causal) for name in classes):
        return f"it is a {classes[0]}; ppo-tui trains causal language models"
    return ""


def _licence(model: Any) -> str:
    card = model.card_data
    named = licence_in(card.to_dict()) if card is not None else ""
    tagged = (tag.removeprefix("license:") for tag in model.tags or [] if tag[:8] == "license:")
    return named or next(tagged, "")


def _unreachable(endpoint: str, why: str) -> ModelError:
    return ModelError(
        f"The hub ({endpoint}) cannot be asked: {why.rstrip('.')}.", code="hub.unreachable"
    )


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result, if it comes in time.

    The hub's client has no limit of time that would cover its retries. A thread that is late is
    left behind; being a daemon, it keeps nobody from leaving.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=work, name="hub-search", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]
