"""Programs that learn to classify, scored in two boxes: one trains, a fresh one predicts.

The first file of the program defines, outside or inside its regions,

    build() -> torch.nn.Module                          made on the meta device, to see shapes
    train(inputs, labels, epochs, seed, start=None)     -> arrays by name: the weights
    predict(weights, inputs)                            -> (n, classes) float scores

The box that predicts has those weights and unlabelled inputs, and nothing that the training left.
Every number of the score is computed here, from what came out: labels never go in. Knows no
operator, and no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from evolve.score import Needs, Objective, Score, checked
from fitness.harness.box import INSIDE, PREFIX, Boxes, Refused, files_of, module_of, told
from fitness.harness.counting import of_source, parameters
from fitness.harness.data import Data
from fitness.sandbox import Answer, Level, Limits, isolation, required

FEW = 16  # training samples of the batch that a candidate is tried on first
TIMED = 3  # boxes that predict; the quickest counts


class Goal(StrEnum):
    """What may be an objective."""

    ACCURACY = "accuracy"
    PARAMETERS = "parameters"  # see `counting`
    LATENCY = "latency"  # of a box that predicts, by our clock: never repeatable


OBJECTIVES = {
    Goal.ACCURACY: Objective("accuracy", maximise=True),
    Goal.PARAMETERS: Objective("parameters", log=True),  # from hundreds to many thousands
    Goal.LATENCY: Objective("latency", unit="ms", log=True),
}


@dataclass(frozen=True)
class Bounds:
    """`parameters`: more are refused before training. `accuracy`: less is infeasible, by what is
    missing, so that a front does not fill with networks that are small and useless."""

    parameters: int | None = None
    accuracy: float = 0.0


@dataclass(frozen=True, eq=False)
class Classification:
    """`start`: the program whose protected part every candidate has. `rungs`: epochs.

    `keep_weights`: each score's heritage holds the trained tensors, for children and exporters.
    A program's own `inherited` tensors are where training starts, as far as names and shapes fit.
    """

    start: Program
    data: Data
    rungs: tuple[int, ...] = (10,)
    goals: tuple[Goal, ...] = (Goal.ACCURACY, Goal.PARAMETERS)
    bounds: Bounds = Bounds()
    keep_weights: bool = False
    limits: Limits = field(default_factory=Limits)
    require: Level = field(default_factory=required)

    def __post_init__(self) -> None:
        module_of(self.start)
        if not self.goals or len(set(self.goals)) < len(self.goals):
            raise FitnessError(f"Classification.goals is {self.goals}; name each goal once.")

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(OBJECTIVES[goal] for goal in self.goals)

    @property
    def needs(self) -> Needs:
        return Needs(gpus=1.0 if self.limits.gpu else 0.0)

    def plan(self) -> Sequence[str]:
        """What is scored, on how much, and how far evolved code is shut in on this machine."""
        epochs = ", ".join(map(str, self.rungs))
        return (
            f"program     {', '.join(self.start.files)}: {', '.join(self.start.regions)}",
            f"samples     {len(self.data.train_inputs):,} to train on ({epochs} epochs), "
            f"{len(self.data.inputs):,} to score, {self.data.classes} classes",
            f"isolation   {isolation()}",
        )

    def evaluate(self, genomes: Sequence[Program], rung: int, seed: int) -> list[Score]:
        return [self._evaluated(genome, rung, seed) for genome in genomes]

    def admit(self, program: Program) -> None:
        """Raise `Refused` if `program` fails before its training would begin."""
        self._rehearsed(program, 0)

    def _evaluated(self, genome: Program, rung: int, seed: int) -> Score:
        try:
            return checked(self._score(genome, self.rungs[rung], seed), self.objectives)
        except Refused as refused:
            return refused.score()

    def _score(self, program: Program, epochs: int, seed: int) -> Score:
        shapes = self._rehearsed(program, seed)
        start = {
            PREFIX + name: array
            for name, array in program.inherited.items()
            if shapes.get(name) == list(array.shape)
        }
        trained = self._ask(
            "training",
            program,
            "train",
            {"inputs": self.data.train_inputs, "labels": self.data.train_labels, **start},
            {"epochs": epochs, "seed": seed},
        )
        weights = arrays_of(trained, "train")
        found = self._counted(weights, program)
        given = {PREFIX + name: array for name, array in weights.items()}
        timed = TIMED if Goal.LATENCY in self.goals else 1
        answers = [
            self._ask("predicting", program, "predict", {"inputs": self.data.inputs, **given}, {})
            for _ in range(timed)
        ]
        right = self._right(answers[0])
        latency = 1000 * min(answer.seconds for answer in answers)
        each = {
            Goal.ACCURACY: right.astype(np.float32),
            Goal.PARAMETERS: np.array([found], np.float32),
            Goal.LATENCY: np.array([latency], np.float32),
        }
        values = {
            Goal.ACCURACY: float(right.mean()),
            Goal.PARAMETERS: float(found),
            Goal.LATENCY: latency,
        }
        seen = program.epochs + epochs
        short = max(0.0, self.bounds.accuracy - values[Goal.ACCURACY])
        others = [g for g in (Goal.ACCURACY, Goal.PARAMETERS) if g not in self.goals]
        return Score(
            tuple(values[goal] for goal in self.goals),
            violation=short,
            metrics={
                "epochs": float(seen),
                "samples": float(seen * len(self.data.train_inputs)),
                **{str(goal): values[goal] for goal in others},
            },
            notes=told(trained),
            samples=tuple(each[goal] for goal in self.goals),
            heritage=weights if self.keep_weights else None,
        )

    def _rehearsed(self, program: Program, seed: int) -> Mapping[str, object]:
        """The shapes of the network's tensors. Raises `Refused` at the first rung not climbed."""
        literals = of_source(program.normal)
        most = self.bounds.parameters
        left = None if most is None else most - literals
        answer = self._ask(
            "trying it on one batch",
            program,
            "rehearse",
            {"inputs": self.data.train_inputs[:FEW], "labels": self.data.train_labels[:FEW]},
            {"classes": self.data.classes, "budget": left, "seed": seed},
        )
        match answer.value:
            case {"elements": int(), "shapes": {**shapes}}:
                return {str(name): shape for name, shape in shapes.items()}
            case {"elements": int(elements)}:
                raise Refused(self._over(elements + literals), told(answer))
        raise Refused("invalid: the program interfered with its trial", told(answer))

    def _counted(self, weights: Mapping[str, np.ndarray], program: Program) -> int:
        try:
            found = parameters(weights, program.normal)
        except FitnessError as error:
            raise Refused(f"invalid: {error}") from error
        if self.bounds.parameters is not None and found > self.bounds.parameters:
            raise Refused(self._over(found))
        return found

    def _over(self, found: int) -> str:
        return (
            f"invalid: {found:,} parameters (weights, and numbers in the source), the budget is "
            f"{self.bounds.parameters:,}; make the network smaller"
        )

    def _right(self, answer: Answer) -> np.ndarray:
        """(n,) bool: which predictions are right. Raises `Refused` if they are none."""
        scores = arrays_of(answer, "predict").get("scores")
        wanted = (len(self.data.labels), self.data.classes)
        if scores is None or scores.dtype.kind != "f" or scores.shape != wanted:
            came = "nothing" if scores is None else f"{scores.dtype} {scores.shape}"
            raise Refused(f"invalid: predict gave {came}, expected floats {wanted}", told(answer))
        if not np.isfinite(scores).all():
            raise Refused(
                "invalid: predict gave NaN or infinite scores; keep the training stable (a lower "
                "rate, a normalisation)",
                told(answer),
            )
        right: np.ndarray = scores.argmax(1) == self.data.labels
        return right

    def _ask(
        self,
        stage: str,
        program: Program,
        function: str,
        arrays: Mapping[str, np.ndarray],
        values: Mapping[str, int | None],
    ) -> Answer:
        module = INSIDE.removesuffix(".py")
        return Boxes(self.limits, self.require).ask(
            stage,
            files_of(program, self.start),
            f"{module}:{function}",
            arrays,
            {"program": module_of(self.start), **values},
        )


def arrays_of(answer: Answer, function: str) -> dict[str, np.ndarray]:
    """The arrays that came out of a box. Raises `Refused` if something else did."""
    found = answer.value
    if isinstance(found, Mapping) and found:
        arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
        if len(arrays) == len(found):
            return arrays
    raise Refused(
        f"invalid: {function} gave {type(found).__name__}, expected arrays by name", told(answer)
    )
