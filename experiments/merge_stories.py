"""Evolve a merge of three experts: one model for Bible verse, Python docs and Python source.

    evolve run experiments/merge_stories.py

stories15M and three experts fine-tuned from it are merged by task arithmetic with a weight for
every expert and layer. NSGA-III trades the three domains' losses; the knee of the front is
exported and tested, once, on the sealed split beside the static merges.
"""

from evolve import Experiment, Final, Genetic, Steady
from evolve.export.checkpoint import CheckpointExporter
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from experiments import material
from fitness.language import LanguageLoss
from operators.merging import LayerShift
from operators.selection import NSGA3, Balanced, two_layer
from operators.vector import Centroid, GaussianMutation, LineCrossover, Then

VALIDATION = 10, 65  # sequences and tokens of each, a domain and birth: many short ones
TEST = 40, 129  # and for each row of the final table

space = MergeSpace.of(
    material.base(),
    list(material.experts().values()),
    method=Method.TASK_ARITHMETIC,
    per_kind=False,
)


def losses(split: str, n: int, length: int) -> LanguageLoss:
    """The three domains' mean token losses on `n` sequences of `length` tokens of `split`."""
    texts = material.texts(split)
    return LanguageLoss(material.base(), {name: t[:n, :length] for name, t in texts.items()})


def static(method: Method, *settings: dict[str, float]) -> list[MergeRecipe]:
    """Candidates for a baseline: one setting everywhere."""
    same = MergeSpace.of(material.base(), list(material.experts().values()), method=method)
    return [same.uniform(**setting) for setting in settings]


operators = [
    Then(Centroid(), GaussianMutation(sigma=0.05)),
    Then(Centroid(), GaussianMutation(sigma=0.025)),
    Then(LineCrossover(), LayerShift()),
]


def search() -> Genetic[MergeRecipe]:
    """Base, experts and soup first; then children of a population of 20, knee first."""
    return Genetic(
        founders=space.founders(),
        operators=operators,
        selection=NSGA3(two_layer(n_objectives=3, outer=1, inner=4)),
        mating=Balanced(size=5),
        objectives=validation.objectives,
        size=20,
        pace=Steady(window=8),
    )


scales = [{"weight": scale} for scale in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)]
densities = [{"weight": w, "density": d} for w in (0.3, 0.5, 1.0) for d in (0.25, 0.5)]
validation = losses("validation", *VALIDATION)
experts = {f"expert {name}": [space.expert_recipe(i)] for i, name in enumerate(material.DOMAINS)}
experiment = Experiment(
    name="merge_stories",
    search=search,
    fitness=validation,
    births=300,
    final=Final(
        fitness=losses("test", *TEST),
        baselines={
            "base": [space.base_recipe()],
            **experts,
            "uniform soup": [space.soup()],
            "task arithmetic": static(Method.TASK_ARITHMETIC, *scales),
            "TIES": static(Method.TIES, *densities),
            "DARE-TIES": static(Method.DARE_TIES, *densities),
        },
        exporter=CheckpointExporter(),
    ),
)
