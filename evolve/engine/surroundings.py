"""What an experiment file takes from its surroundings: a language model, a level of isolation.

The command line's `--llm-…` and `--require-isolation` become environment variables before the
file is imported, and facts of the run, so that a resume has them again. Keys are no part of it:
they stay where they are. Knows neither chats nor sandboxes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from evolve.genome import Json

BASE_URL = "EVOLVE_LLM_BASE_URL"
MODEL = "EVOLVE_LLM_MODEL"
MAX_TOKENS = "EVOLVE_LLM_MAX_TOKENS"
REPLAY = "EVOLVE_LLM_REPLAY"
ISOLATION = "EVOLVE_REQUIRE_ISOLATION"
NAMES = (BASE_URL, MODEL, MAX_TOKENS, REPLAY, ISOLATION)


def surroundings() -> dict[str, Json]:
    """Those that are set now, by name."""
    return {name: os.environ[name] for name in NAMES if os.environ.get(name)}


def surround(asked: Mapping[str, object], known: Json = None) -> None:
    """Set what is `asked` for (by name). Of a run that goes on, all else is as its facts have it
    `known`, whatever the environment says now."""
    for name in NAMES:
        if name in asked:
            os.environ[name] = str(asked[name])
        elif isinstance(known, Mapping):
            os.environ.pop(name, None)
            if name in known:
                os.environ[name] = str(known[name])
