"""A program written as files: its source, what changed, what it learned, how to train it anew.

Knows programs and scores, not what a program is for. Where something must be trained, the given
fitness does it, in whatever box it has: no evolved code runs here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evolve.errors import ExportError
from evolve.export import program_card, retraining
from evolve.export.companions import write_json
from evolve.export.directory import appearing, refuse_existing
from evolve.export.program_card import DIFF, WEIGHTS, Learned
from evolve.genome import Genome, Json, digest
from evolve.genomes.program.program import Program
from evolve.score import Fitness, Record, Score
from evolve.store.run import Run
from evolve.streams import Stream, seed_for

_SEED = re.compile(r"^- seed: (\d+)$", re.MULTILINE)  # as the story's section Experiment has it


@dataclass(frozen=True, eq=False)
class ProgramExporter:
    """Writes a program with what it takes to use, judge and retrain it. An `Exporter`.

    `start`: the program that it descends from; without one there is no diff. `fitness`: the
    experiment's own, keeping what it trains as heritage; it is asked for the weights of a record
    that has none, and for the from-scratch score of a program that inherited tensors.
    `experiment`: FILE.py or FILE.py:NAME, where retrain.py finds the sealed test.
    """

    start: Program | None = None
    fitness: Fitness[Program] | None = None
    experiment: str = ""

    def export(self, record: Record[Program], to: Path, story: Mapping[str, str]) -> None:
        """Write `record`'s program to the new directory `to`: whole, or not at all.

        program/ (its files as written), changes.diff, weights.safetensors, retrain.py,
        program.json and README.md, whose sections are `story` (markdown by title) and more.
        Raises `ExportError`.
        """
        _refuse_others(record.birth, record.genome)
        refuse_existing(to)
        program = record.genome
        changes = self._changes(record)
        found = _SEED.search(story.get("Experiment", ""))
        seed = int(found[1]) if found else None
        learned = self._learned(record, seed_for(seed or 0, record.rung, Stream.EVALUATE))
        with appearing(to) as folder:
            for path, text in program.express().items():
                file = folder / retraining.SOURCE / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            if changes is not None:
                (folder / DIFF).write_text(changes, encoding="utf-8")
            if learned.weights:
                _write(folder / WEIGHTS, learned.weights)
            write_json(folder / retraining.FILE, _told(program, seed, story))
            script = retraining.script(self.experiment)
            (folder / retraining.SCRIPT).write_text(script, encoding="utf-8")
            objectives = None if self.fitness is None else self.fitness.objectives
            text = program_card.program_card(
                to.name, record, story, learned, self.start, objectives
            )
            (folder / "README.md").write_text(text, encoding="utf-8")

    def _changes(self, record: Record[Program]) -> str | None:
        """The unified diff against the start; None without one. Raises `ExportError`."""
        if self.start is None:
            return None
        if record.genome.protected != self.start.protected:
            raise ExportError(
                f"Birth {record.birth} differs from ProgramExporter.start outside of the regions, "
                "so it does not descend from it; give the run's own start program."
            )
        return unified(self.start.files, record.genome.files)

    def _learned(self, record: Record[Program], seed: int) -> Learned:
        """The weights that were scored; trained anew with the same seed if they were not kept."""
        program, score = record.genome, record.score
        if not score.heritage and self.fitness is not None:
            score = self._trained(record, program, seed)
        scratch = None
        if program.inherited and self.fitness is not None:
            scratch = self._trained(record, replace(program, inherited={}, epochs=0), seed)
        return Learned(dict(score.heritage or {}), score, scratch)

    def _trained(self, record: Record[Program], program: Program, seed: int) -> Score:
        assert self.fitness is not None
        (score,) = self.fitness.evaluate([program], record.rung, seed)
        if score.error is not None:
            raise ExportError(
                f"Birth {record.birth} cannot be trained anew for its weights: {score.error}. "
                "Export where it can be, or let the experiment's fitness keep what it trains."
            )
        return score


def exporter_of(program: Program, run: Run[Any] | None) -> ProgramExporter:
    """An exporter with what `run` tells: the founder of `program`, and the experiment's file."""
    if run is None:
        return ProgramExporter()
    start = next(
        (
            record.genome
            for record in run.records
            if not record.parents
            and isinstance(record.genome, Program)
            and record.genome.protected == program.protected
        ),
        None,
    )
    return ProgramExporter(start, experiment=str(run.facts["file"] or ""))


def unified(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The difference of files as `patch -p1` and `git apply` take it; "" if there is none."""
    return "".join(
        line
        for path in sorted(after)
        for line in _ended(
            difflib.unified_diff(
                before.get(path, "").splitlines(keepends=True),
                after[path].splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
        )
    )


def _ended(lines: Iterator[str]) -> Iterator[str]:
    """`lines`, saying of one without a line end that it has none."""
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _refuse_others(birth: int, genome: Genome) -> None:
    """A run loaded from its ledger has genomes of any kind, whatever the annotation says."""
    if not isinstance(genome, Program):
        raise ExportError(
            f"Birth {birth} is a {type(genome).__name__}, ProgramExporter writes Program; use the "
            "exporter of that genome."
        )


def _told(program: Program, seed: int | None, story: Mapping[str, str]) -> Mapping[str, Json]:
    """What `retraining` reads."""
    return {
        "format": retraining.FORMAT,
        "files": sorted(program.files),
        "functions": list(program.functions),
        "digest": digest(replace(program, inherited={}, epochs=0)),
        "seed": seed,
        "scores": story.get("Scores", ""),
    }


def _write(file: Path, weights: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.array(array, order="C") for name, array in weights.items()}, file)
