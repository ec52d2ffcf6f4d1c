"""Load a base model and its tokenizer: a hub id, a local folder, or the bundled one.

Any causal language model of transformers, in full precision, 16 bits, 8 bits or 4 bits (NF4 with
double quantisation, arXiv:2305.14314). Weights are read from safetensors only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ppo_tui.config.schema import BUNDLED, ModelConfig
from ppo_tui.errors import ModelError, OutOfMemory, PpoTuiError
from ppo_tui.policy.devices import check_quantization, choose_dtype
from ppo_tui.policy.remote_code import confirmed_source
from ppo_tui.policy.vocabulary import Vocabulary, read_vocabulary


@dataclass(frozen=True)
class BaseModel:
    """A loaded base model.

    Attributes:
        model: The transformers model, frozen, in evaluation mode (dropout is off).
        tokenizer: Its tokenizer.
        vocabulary: Its special tokens.
        device: Where it lies.
        dtype: Type of the computation.
        quantization: How the linear layers' weights are held.
        context_length: Longest sequence it can read, or None where its config does not say.
        source: Folder or hub id it came from.
    """

    model: Any
    tokenizer: Any
    vocabulary: Vocabulary
    device: torch.device
    dtype: torch.dtype
    quantization: str
    context_length: int | None
    source: str


def resolve_source(name: str) -> str:
    """Folder or hub id behind `model.name`.

    Raises:
        ModelError: It is a path, and there is no such folder, or no model in it.
    """
    if name == BUNDLED:
        from ppo_tui.assets import model_dir

        return str(model_dir())
    path = Path(name).expanduser()
    is_path = path.is_absolute() or name.startswith((".", "~")) or path.exists()
    if not is_path and name.count("/") > 1:
        is_path = True  # a hub id has one slash at the most
    if not is_path:
        return name
    if not path.exists():
        raise ModelError(f"There is no model folder {name}.", code="model.missing")
    if not path.is_dir():
        raise ModelError(
            f"{name} is a file; model.name takes the folder that holds config.json.",
            code="model.not_a_folder",
        )
    if not (path / "config.json").is_file():
        raise ModelError(
            f"{name} is no model folder: it has no config.json.", code="model.not_a_model"
        )
    if os.path.lexists(path / "adapter_config.json"):
        # transformers would load the base that it names, from wherever that is, in its place.
        raise ModelError(
            f"{name} holds an adapter (adapter_config.json); model.name takes a base model.",
            hint="Take that file out of the folder, if the rest of it is a whole model.",
            code="model.adapter",
        )
    return str(path)


def load_base(config: ModelConfig, device: torch.device) -> BaseModel:
    """Load model and tokenizer onto `device`.

    Raises:
        ModelError: There is none, it is no causal language model, its files are damaged or not
            safetensors, or it needs code that was not allowed.
        ConfigError: It asks for code that the user has not confirmed (`trust.model`).
        DeviceError: The device cannot do what was asked.
        OutOfMemory: It does not fit.
    """
    check_quantization(config, device)
    dtype = choose_dtype(config, device)
    source = resolve_source(config.name)
    _check_config_file(config.name, Path(source) / "config.json")
    with _as_model_error(config, source), confirmed_source(config, source) as (place, own_code):
        tokenizer = _load_tokenizer(config, place, own_code)
        model = _load_model(config, place, own_code, device, dtype)
        # The copy that a model with code of its own is loaded from is gone when it is asked for.
        model.config._name_or_path = model.name_or_path = tokenizer.name_or_path = source
        model.requires_grad_(False)
        model.eval()
        # Before the first pass.
        _keep_weights_as_they_are(model)
        _check_is_causal(model, config.name)
    vocab_size = model.get_input_embeddings().weight.shape[0]
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        vocabulary=read_vocabulary(tokenizer, model.generation_config, vocab_size),
        device=device,
        dtype=dtype,
        quantization=config.quantization,
        context_length=_context_length(model.config),
        source=source,
    )


def _check_config_file(name: str, path: Path) -> None:
    """Refuse a local config.json that transformers would misread or speak of at length."""
    if not path.is_file():
        return  # a model of the hub
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        problem = "" if isinstance(content, dict) else "it holds no JSON object"
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split())
    if problem:
        raise ModelError(
            f"The config.json of {name} cannot be used: {problem}.", code="model.bad_config"
        )


@torch.no_grad()
def _check_is_causal(model: Any, name: str) -> None:
    """Refuse a model whose earlier positions see the later ones.

    transformers loads an encoder such as BERT as a causal model without a word.
    """
    weight = model.get_input_embeddings().weight
    ids = (torch.arange(6, device=weight.device) % weight.shape[0]).unsqueeze(0)
    other = ids.clone()
    other[0, -1] = weight.shape[0] - 1
    mask = torch.ones_like(ids)
    one, two = (
        model(input_ids=x, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        for x in (ids, other)
    )
    # LLM.int8 treats a column with an outlier in any row apart, for all rows.
    tolerance = 5e-2 if getattr(model, "is_loaded_in_8bit", False) else 1e-3
    if (one - two).abs().max() > tolerance * one.abs().max():
        raise ModelError(
            f"{name} is an encoder ({model.config.model_type}): its tokens see those behind them; "
            "ppo-tui trains causal language models.",
            code="model.not_causal",
        )


def _load_tokenizer(config: ModelConfig, source: str, own_code: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        source, revision=config.revision, trust_remote_code=own_code
    )


def _load_model(
    config: ModelConfig, source: str, own_code: bool, device: torch.device, dtype: torch.dtype
) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    model_config = AutoConfig.from_pretrained(
        source, revision=config.revision, trust_remote_code=own_code
    )
    if getattr(model_config, "is_encoder_decoder", False):
        raise ModelError(
            f"{config.name} is an encoder-decoder ({model_config.model_type}); ppo-tui trains "
            "causal language models.",
            code="model.not_causal",
        )
    if type(model_config) not in AutoModelForCausalLM._model_mapping and not own_code:
        raise ModelError(
            f"{config.name} is a {model_config.model_type!r} model, which transformers does not "
            "know as a causal language model.",
            code="model.not_causal",
        )
    model, report = AutoModelForCausalLM.from_pretrained(
        source,
        config=model_config,
        revision=config.revision,
        dtype=dtype,
        quantization_config=_quantization_config(config, dtype),
        device_map={"": device},
        use_safetensors=True,
        trust_remote_code=own_code,
        output_loading_info=True,
        # They are reported then, and refused below.
        ignore_mismatched_sizes=True,
    )
    missing = sorted(report["missing_keys"])
    mismatched = sorted(str(key) for key, *_ in report.get("mismatched_keys", ()))
    if missing or mismatched:
        # transformers would fill these with random numbers and train on.
        what = "lacks" if missing else "has the wrong shape for"
        first = (missing or mismatched)[0]
        raise ModelError(
            f"The weights of {config.name} do not match its config.json: the file {what} {first!r} "
            f"({len(missing or mismatched)} in all).",
            code="model.incomplete",
        )
    return model


def _quantization_config(config: ModelConfig, dtype: torch.dtype) -> Any:
    if config.quantization == "none":
        return None
    from transformers import BitsAndBytesConfig

    if config.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _keep_weights_as_they_are(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on CPUs with AVX512-BF16.

    It would do so at the first pass without gradients, for a kernel that rounds the scales to
    bfloat16, has no backward pass and is fetched from the hub.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _context_length(config: Any) -> int | None:
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"):
        value = getattr(text_config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


@contextmanager
def _as_model_error(config: ModelConfig, source: str) -> Iterator[None]:
    """Turn what transformers, safetensors and the hub raise into one sentence."""
    name = config.name
    try:
        yield
    except PpoTuiError:
        raise
    except SafetensorError as error:
        raise ModelError(
            f"The weights of {name} are damaged: {error}.",
            hint="Download or copy the .safetensors files again.",
            code="model.corrupt",
        ) from error
    except json.JSONDecodeError as error:
        raise ModelError(
            f"A configuration file of {name} is not JSON: {error}.", code="model.bad_config"
        ) from error
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{name} does not fit into the device's memory with quantization: "
            f"{config.quantization}.",
            hint="Use quantization: nf4, or a smaller model; `ppo-tui plan` shows what would fit.",
            code="memory.model",
        ) from error
    # Whatever these libraries raise about a model's files is about the model: the worker shows it
    # as one sentence and keeps the traceback in the run's log.
    except Exception as error:
        raise _translate(error, name, source, config.trust_remote_code) from error


def _translate(error: Exception, name: str, source: str, trusted: bool) -> ModelError:
    text = " ".join(str(error).split())
    local = Path(source).is_dir()
    if "trust_remote_code" in text and not trusted:
        return ModelError(
            f"{name} comes with Python code of its own, and model.trust_remote_code is off.",
            hint="Turn it on only if you trust the model's author: the code runs on this machine.",
            code="model.remote_code",
        )
    if local and not list(Path(source).glob("*.safetensors")):
        return ModelError(
            f"{name} has no .safetensors weights, and other formats can run code when opened: "
            "convert them first.",
            code="model.no_safetensors",
        )
    if not local and type(error).__name__ in (
        "RepositoryNotFoundError",
        "OSError",
        "LocalEntryNotFoundError",
        "HFValidationError",
        "GatedRepoError",
        "OfflineModeIsEnabled",
        "ConnectError",
        "RevisionNotFoundError",
    ):
        return ModelError(
            f"{name} is neither a local folder, nor in the local Hugging Face cache, nor to be had "
            "from the hub now.",
            hint=text[:300],
            code="model.missing",
        )
    return ModelError(
        f"{name} cannot be loaded: {text[:300] or type(error).__name__}.", code="model.unusable"
    )
