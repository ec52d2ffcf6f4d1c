"""Compiled code of the hub is not fetched, though a package that fetches it is installed."""

import os
import subprocess
import sys

# On some CPUs bitsandbytes asks for a kernel when it is imported; transformers for some models.
LOADING = """
import sys
from ppo_tui.libraries import prepare_libraries

prepare_libraries(sys.stderr)
import bitsandbytes, peft, torch
from transformers.utils import is_kernels_available
from ppo_tui.config.schema import ModelConfig
from ppo_tui.policy.loading import load_base

assert not is_kernels_available()
load_base(ModelConfig(), torch.device("cpu"))
try:
    from kernels import get_kernel
except ImportError:
    print("out of reach")
"""


def test_the_package_that_fetches_kernels_is_out_of_reach(tmp_path):
    mark, package = tmp_path / "imported", tmp_path / "packages"
    about = package / "kernels-0.18.2.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.18.2\n", encoding="utf-8")
    (package / "kernels").mkdir()
    (package / "kernels" / "__init__.py").write_text(
        f"open({str(mark)!r}, 'w').close()\ndef get_kernel(*given, **how): raise ImportError",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-c", LOADING],
        env={**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "out of reach\n", done.stderr
    assert not mark.exists()
