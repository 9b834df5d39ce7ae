"""Winners written as what other tools load."""

from __future__ import annotations

from typing import Any

from evolve.errors import ExportError
from evolve.experiment import Exporter
from evolve.genome import Genome
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.merge import MergeRecipe
from evolve.genomes.program.program import Program
from evolve.store.run import Run


def exporter_for(genome: Genome, run: Run[Any] | None = None) -> Exporter[Any]:
    """The exporter of `genome`'s kind; `run`: what it comes from, if known.

    Raises `ExportError` where there is none.
    """
    if isinstance(genome, MergeRecipe):
        from evolve.export.checkpoint import CheckpointExporter

        return CheckpointExporter()
    if isinstance(genome, CompressionProfile):
        from evolve.export.compressed import CompressedExporter

        return CompressedExporter()
    if isinstance(genome, Program):
        from evolve.export.program import exporter_of

        return exporter_of(genome, run)
    raise ExportError(
        f"{type(genome).__name__} has no exporter; its content is in `evolve.load(run)`, or give "
        "the experiment one of your own: Final(exporter=...)."
    )
