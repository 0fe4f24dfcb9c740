"""Nothing happens at import."""

from __future__ import annotations

import subprocess
import sys


def test_package_and_command_line_load_neither_torch_nor_ray() -> None:
    probe = (
        "import sys, persona_ray, persona_ray.cli.app;"
        "print(sorted({'torch', 'ray', 'transformers', 'matplotlib', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
