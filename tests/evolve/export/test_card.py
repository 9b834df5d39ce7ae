from pathlib import Path

import pytest
import yaml

from evolve.export.card import (
    NOT_STATED,
    NOTES,
    Parent,
    card,
    known_as,
    licence_of,
    licences,
    notes,
    points,
    table,
)


def test_licence_comes_from_the_cards_metadata(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\ntags:\n- a\nlicense: apache-2.0\n---\n# Model\n")
    (tmp_path / "LICENSE").write_text("Some other text\n")
    assert licence_of(tmp_path) == "apache-2.0"


def test_a_named_licence_is_named(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text('---\nlicense: other\nlicense_name: "gemma"\n---\n')
    assert licence_of(tmp_path) == "gemma"


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.txt", "LICENSE.md"])
def test_else_from_the_first_line_of_a_licence_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "README.md").write_text("# Model\nlicense: mit\n")
    (tmp_path / name).write_text("\n   MIT License\n\nCopyright\n")
    assert licence_of(tmp_path) == f"MIT License ({name})"


def test_else_not_stated(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense:\ntags: [a]\n---\n")
    assert licence_of(tmp_path) == NOT_STATED


def test_names_of_hub_snapshots() -> None:
    snapshot = Path("/cache/hub/models--org--some-name/snapshots/0123abc")
    assert known_as(snapshot) == "org/some-name"
    assert known_as(Path("/models/expert")) == "expert"


def parents(*stated: str) -> list[Parent]:
    return [Parent(f"m{i}", "expert", licence, "f" * 64) for i, licence in enumerate(stated)]


def metadata_of(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---")[1]))


def test_metadata_is_yaml_that_names_parents_and_the_common_licence() -> None:
    text = card("name", "summary", parents("mit", "mit"), ("merge",), {"Lineage": "founder"})
    told = metadata_of(text)
    assert told["license"] == "mit"
    assert told["base_model"] == ["m0", "m1"]
    assert told["tags"] == ["merge"]
    assert "# name\n\nsummary\n\n## Lineage\n\nfounder\n" in text


@pytest.mark.parametrize(
    "stated", [("mit", "apache-2.0"), (NOT_STATED, NOT_STATED), ("mit", NOT_STATED)]
)
def test_no_licence_is_claimed_unless_all_agree(stated: tuple[str, ...]) -> None:
    assert "license" not in metadata_of(card("n", "s", parents(*stated), ("merge",), {}))


def test_unstated_licences_are_pointed_out() -> None:
    assert "ask the model's owner" in licences(parents("mit", NOT_STATED))
    assert "ask the model's owner" not in licences(parents("mit"))


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(("a", "b"), [("x|y", "z")]).splitlines()[2] == "| x\\|y | z |"


def test_notes_are_read_back(tmp_path: Path) -> None:
    assert notes(tmp_path) == []
    sections = {"Lineage": "- of two", NOTES: points(["One.", "Two."]), "Use": "- it"}
    (tmp_path / "README.md").write_text(card("t", "s", [], ("evolve",), sections))
    assert notes(tmp_path) == ["One.", "Two."]


def test_a_relation_of_its_own() -> None:
    assert "base_model_relation: quantized\n" in card("t", "s", [], (), {}, "quantized")
    assert "base_model_relation: merge\n" in card("t", "s", [], (), {})
