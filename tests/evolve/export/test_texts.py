import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from evolve.errors import ExportError
from evolve.experiment import Exporter
from evolve.export import card
from evolve.export.profile_json import profile_json
from evolve.export.texts import TextExporter, write_texts
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from tests.evolve.cases import record
from tests.evolve.export.profiles import mixed, record_of, write_model


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> CompressionProfile:
    model = write_model(tmp_path_factory.mktemp("model") / "m", "llama")
    return mixed(ProfileSpace.of(model, depth=True), attention=(1,))


def removed(profile: CompressionProfile) -> Mapping[str, str]:
    return {"removed.txt": f"{int((~profile.attention).sum())}\n"}


def refuse(profile: CompressionProfile) -> Mapping[str, str]:
    raise ExportError("no such text")


def test_texts_stand_beside_the_profile(profile: CompressionProfile, tmp_path: Path) -> None:
    exporter: Exporter[CompressionProfile] = TextExporter("Removed", removed, "Count them.")
    to = tmp_path / "to"
    exporter.export(record_of(profile), to, {"Lineage": "birth 7"})
    assert (to / "removed.txt").read_text() == "1\n"
    assert json.loads((to / "profile.json").read_text()) == profile_json(profile)
    assert card.notes(to) == ["Count them."]
    readme = (to / "README.md").read_text()
    assert readme == "# Removed\n\n## Notes\n\n- Count them.\n\n## Lineage\n\nbirth 7\n"
    TextExporter("Removed", removed).export(record_of(profile), tmp_path / "two", {})
    assert card.notes(tmp_path / "two") == []


def test_nothing_is_left_of_what_cannot_be_written(
    profile: CompressionProfile, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="no such text"):
        TextExporter("Removed", refuse).export(record_of(profile), tmp_path / "to", {})
    with pytest.raises(ExportError, match="Birth 3 is a Vector, TextExporter writes"):
        TextExporter("Removed", removed).export(record(3, (1.0,)), tmp_path / "to", {})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExportError, match="exists already"):
        write_texts(tmp_path, "Removed", {}, profile, {})
