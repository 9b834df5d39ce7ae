from __future__ import annotations

import subprocess
import sys

FACE = """
import sys
from operators.selection import *
from operators.selection import MOEAD, NSGA2, NSGA3, HypE, das_dennis, fronts
print(sorted({name.split(".")[0] for name in sys.modules}
             & {"evolve", "fitness", "experiments", "moocore", "evox", "ray"}))
"""


def test_imports_torch_and_nothing_of_ours() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FACE], capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.strip() == "[]"
