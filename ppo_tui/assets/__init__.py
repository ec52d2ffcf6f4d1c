"""The bundled base model and its prompts, for the demo and the tests.

Made by `tools.bundled_model.build` from a grammar of short reviews; nothing here is downloaded.
"""

from importlib.resources import files
from pathlib import Path


def model_dir() -> Path:
    """Return the folder of the bundled base model, in the layout of the Hugging Face hub."""
    return Path(str(files(__name__) / "base_model"))


def prompts_file() -> Path:
    """Return the bundled prompts: one beginning of a review a line, without a trailing space."""
    return Path(str(files(__name__) / "prompts.txt"))
