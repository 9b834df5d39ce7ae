"""The forms in which a compression profile leaves by the command line, each with its exporter.

Knows which exporter writes what, and nothing of how.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from evolve.errors import ExportError
from evolve.experiment import Exporter
from evolve.genome import Genome
from evolve.genomes.compression.profile import CompressionProfile


class Form(StrEnum):
    """What is written of a profile."""

    CHECKPOINT = "checkpoint"
    LLAMA_CPP = "llama.cpp"
    GPTQMODEL = "gptqmodel"
    EVOPRESS = "evopress"
    JSON = "json"


def exporter_to(form: Form, genome: Genome) -> Exporter[CompressionProfile]:
    """The exporter that writes `genome` in `form`.

    Raises `ExportError` for a genome that is no compression profile; whether the form can hold
    the profile, its exporter says before it writes anything.
    """
    if not isinstance(genome, CompressionProfile):
        raise ExportError(
            f"--form {form} is for compression profiles, this is a {type(genome).__name__}; leave "
            "--form out to export it as what it is."
        )
    from evolve.export.compressed import CompressedExporter
    from evolve.export.evopress import NOTE, evopress_texts
    from evolve.export.recipes import RecipeExporter, fitting_types
    from evolve.export.texts import TextExporter

    match form:
        case Form.CHECKPOINT:
            return CompressedExporter()
        case Form.LLAMA_CPP:
            return RecipeExporter(fitting_types(genome), gptqmodel=False)
        case Form.GPTQMODEL:
            return RecipeExporter(llama_cpp=False)
        case Form.EVOPRESS:
            return TextExporter("Text forms of EvoPress", evopress_texts, NOTE)
        case Form.JSON:
            return TextExporter("Compression profile", lambda _: {})
    assert_never(form)
