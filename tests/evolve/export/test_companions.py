import json
from pathlib import Path

from evolve.export.companions import copy_companions, write_json


def test_copies_what_belongs_to_a_model_and_no_weights(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "to"
    for each in (base, folder, base / "tokenizer_folder"):
        each.mkdir()
    wanted = {"tokenizer.json", "generation_config.json", "chat_template.jinja", "modeling.py"}
    for name in (*wanted, "model.safetensors", "config.json", "README.md"):
        (base / name).write_text(name)
    copy_companions(base, folder)
    assert {file.name for file in folder.iterdir()} == wanted
    assert (folder / "tokenizer.json").read_text() == "tokenizer.json"


def test_json_is_sorted_and_ends_its_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["a", "b"]
