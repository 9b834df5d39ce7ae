"""The files of a checkpoint directory beside its weights. Knows no model and no weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

# The rest of a checkpoint directory: tokenizer, generation, and a model's own code.
_COPIED = (
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "chat_template*",
    "preprocessor_config.json",
    "*.py",
)


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Write `content` to `file`: indented, keys sorted, with a last newline."""
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def copy_companions(base: Path, folder: Path) -> None:
    """Copy tokenizer, generation config and the like from `base` to `folder`."""
    for pattern in _COPIED:
        for file in sorted(base.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
