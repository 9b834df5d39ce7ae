from pathlib import Path

import pytest

from evolve.errors import ExportError
from evolve.export.compressed import CompressedExporter
from evolve.export.evopress import evopress_texts
from evolve.export.forms import Form, exporter_to
from evolve.export.recipes import SMALL_BLOCKS, RecipeExporter
from evolve.export.texts import TextExporter
from evolve.genomes.compression.space import ProfileSpace
from tests.evolve.cases import vector
from tests.evolve.export.profiles import mixed, write_model


def test_every_form_has_its_exporter(tmp_path: Path) -> None:
    profile = mixed(ProfileSpace.of(write_model(tmp_path / "model", "llama"), depth=True))
    found = {form: exporter_to(form, profile) for form in Form}
    assert found[Form.CHECKPOINT] == CompressedExporter()
    assert found[Form.LLAMA_CPP] == RecipeExporter(SMALL_BLOCKS, gptqmodel=False)
    assert found[Form.GPTQMODEL] == RecipeExporter(llama_cpp=False)
    evopress, alone = found[Form.EVOPRESS], found[Form.JSON]
    assert isinstance(evopress, TextExporter)
    assert evopress.tell is evopress_texts
    assert isinstance(alone, TextExporter)
    assert alone.tell(profile) == {}


def test_other_genomes_have_no_forms() -> None:
    for form in Form:
        with pytest.raises(ExportError, match=f"--form {form} is for .*, this is a Vector; leave"):
            exporter_to(form, vector(0.0))
