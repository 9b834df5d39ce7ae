"""Runs evolved code under limits, and says how far it is kept from the machine.

answer = run(Call({"model.py": source}, "model:score", arrays={"x": x}), require=Level.FULL)
"""

from __future__ import annotations

from fitness.sandbox.call import Answer, Call, Limits
from fitness.sandbox.isolation import Gap, Isolation, Level, required
from fitness.sandbox.launcher import isolation, run, stop

__all__ = [
    "run", "stop", "isolation", "required",
    "Call", "Limits", "Answer", "Isolation", "Level", "Gap",
]  # fmt: skip
