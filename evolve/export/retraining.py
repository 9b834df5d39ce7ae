"""An exported program read back, trained from scratch and scored on the sealed test split.

Knows the directory that `program` writes; not what the program is for, and no sandbox: the test
fitness of the experiment trains and scores it, as it did in the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve.errors import ExportError
from evolve.experiment import Experiment
from evolve.export import card
from evolve.genome import digest
from evolve.genomes.program.program import Program
from evolve.score import Fitness, Score
from evolve.streams import Stream, seed_for

FILE, SOURCE, SCRIPT = "program.json", "program", "retrain.py"
FORMAT = 1


def script(experiment: str) -> str:
    """The text of `retrain.py` for a program of `experiment`: FILE.py or FILE.py:NAME, or ""."""
    return _SCRIPT.replace("EXPERIMENT_OF_THE_RUN", repr(experiment))


def retrained(folder: Path, experiment: Experiment[Any], seed: int | None = None) -> str:
    """What the program in `folder` scores after training from scratch, for people.

    It is scored at the dearest rung of the experiment's test. `seed`: of the training; by default
    the one that the run's own test had. Raises `ExportError`.
    """
    told, program = read(folder)
    if experiment.final is None:
        raise ExportError(
            f"The experiment {experiment.name!r} has no sealed test; give it "
            "Final(fitness=...), or score the program with its own fitness."
        )
    fitness = experiment.final.fitness
    rung = len(fitness.rungs) - 1
    if seed is None:
        run = experiment.seed if told["seed"] is None else int(told["seed"])
        seed = seed_for(run, rung, Stream.FINAL)
    (score,) = fitness.evaluate([program], rung, seed)
    if score.error is not None:
        detail = score.notes.get("detail", "").strip()
        raise ExportError(
            f"The program in {folder} cannot be trained here: {score.error}"
            f"{detail and chr(10)}{detail}"
        )
    parts = [_beside(str(told["scores"]), fitness, score, f"from scratch, seed {seed}")]
    parts += [f"{name}: {value:g}" for name, value in score.metrics.items()]
    if digest(program) != told["digest"]:
        parts.insert(0, "The program was changed after its export.")
    return "\n".join(parts)


def read(folder: Path) -> tuple[Mapping[str, Any], Program]:
    """What `folder` says of its program, and the program, without tensors that it inherited.

    Raises `ExportError` if `folder` is no exported program.
    """
    file = folder / FILE
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ExportError(
                f"{file} has format {told['format']!r}, this version reads {FORMAT}; export anew."
            )
        source = {
            path: (folder / SOURCE / path).read_text(encoding="utf-8") for path in told["files"]
        }
        program = Program(source, tuple(told["functions"]))
        _ = told["digest"], told["scores"], told["seed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{folder} is no exported program ({type(error).__name__}: {error}); give a directory "
            "that an export wrote."
        ) from error
    return told, program


def _beside(scores: str, fitness: Fitness[Any], score: Score, heading: str) -> str:
    """The card's table of scores with one more column; two tables if it has another form."""
    names = [objective.name for objective in fitness.objectives]
    cells = [heading, "---", *(f"{value:.6g}" for value in score.values)]
    lines = scores.split("\n")
    if len(lines) == len(cells) and all(line.endswith(" |") for line in lines[2:]):
        return "\n".join(
            f"{line}{cell}|" if cell == "---" else f"{line} {cell} |"
            for line, cell in zip(lines, cells)
        )
    own = card.table(("objective", heading), list(zip(names, cells[2:])))
    return f"{scores}\n\n{own}" if scores else own


_SCRIPT = '''"""Trains this directory's program from scratch, in the sandbox of its experiment.

Prints what it scores on the sealed test split beside what its card says.

    python retrain.py [--experiment FILE.py[:NAME]] [--seed N]

Needs evolve and the experiment's file, with the data that it loads.
"""

import argparse
import sys
from pathlib import Path

from evolve.engine.source import load_experiment
from evolve.engine.workers import threads_pinned
from evolve.errors import EvolveError
from evolve.export.retraining import retrained

EXPERIMENT = EXPERIMENT_OF_THE_RUN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\\n\\n")[0])
    parser.add_argument(
        "--experiment", default=EXPERIMENT, required=not EXPERIMENT, help="FILE.py or FILE.py:NAME"
    )
    parser.add_argument("--seed", type=int, help="default: that of the run's test")
    asked = parser.parse_args()
    try:
        experiment = load_experiment(Path(asked.experiment))
        with threads_pinned():
            print(retrained(Path(__file__).resolve().parent, experiment, asked.seed))
    except EvolveError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''
