"""ppo-tui: fine-tune a language model with PPO on one GPU, from the terminal.

`import ppo_tui` loads neither torch nor textual: viewers and the command line start from here.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ppo-tui")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
