from __future__ import annotations

import importlib.util
import pickle

import pytest
import torch

from evolve.errors import FitnessError
from fitness import brax_episodes, episodes
from fitness.brax_episodes import BraxEpisodes, effort, slowness

BRAX = importlib.util.find_spec("brax") is not None
needs_brax = pytest.mark.skipif(not BRAX, reason="brax is not installed: its path is not tested")


@pytest.mark.skipif(BRAX, reason="brax is installed: nothing to refuse")
def test_without_brax_it_says_what_to_do() -> None:
    with pytest.raises(FitnessError, match="pip install brax"):
        BraxEpisodes("halfcheetah").box()


def test_the_network_is_that_of_the_episodes_on_the_cpu() -> None:
    sizes = (5, 4, 3, 2)
    genes = torch.randn(3, 4 * 6 + 3 * 5 + 2 * 4)
    seen = torch.randn(3, 5)
    policy = brax_episodes._policy(sizes)
    parameters = brax_episodes._parameters(genes, sizes)
    assert {name: value.shape[1:] for name, value in parameters.items()} == {
        name: value.shape for name, value in policy.named_parameters()
    }
    expected = episodes._act(episodes._layers(genes, sizes), seen)
    for i in range(3):
        own = {name: value[i] for name, value in parameters.items()}
        torch.testing.assert_close(
            torch.func.functional_call(policy, own, (seen[i],)), expected[i]
        )


def test_the_network_is_made_on_the_cpu_and_draws_from_no_stream() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):  # stands for "cuda", inside of a stint there
        policy = brax_episodes._policy((5, 4, 2))
    assert {each.device.type for each in policy.parameters()} == {"cpu"}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_the_network_leaves_the_stream_of_the_gpu_alone() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: the stream of CUDA was not looked at")
    before = torch.cuda.get_rng_state()
    with torch.device("cuda"):
        brax_episodes._policy((5, 4, 2))
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize(
    "settings",
    [
        {"costs": ()},
        {"steps": 0},
        {"steps": 2.5},
        {"episodes": True},
        {"hidden": (0,)},
        {"hidden": (4.0,)},
    ],
)
def test_no_episode_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(FitnessError, match="plays no episode"):
        BraxEpisodes("halfcheetah", **settings)  # type: ignore[arg-type]


@needs_brax
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # brax says that it rests
def test_costs_of_brax_are_averages_and_repeat() -> None:
    problem = BraxEpisodes("halfcheetah", steps=20, episodes=2)
    generator = torch.Generator().manual_seed(0)
    genes = torch.rand(4, problem.n_parameters, generator=generator) * 2 - 1
    genes[1], genes[2, 0] = 0.0, torch.nan
    found = problem.evaluate(genes)
    assert found.shape == (4, 2)
    assert found.dtype == torch.float64
    assert float(found[1, 1]) == 0.0  # at rest
    assert bool((found[2] == torch.inf).all())
    assert 0.0 < float(found[0, 1]) <= 6.0
    assert torch.equal(pickle.loads(pickle.dumps(problem)).evaluate(genes), found)
    with pytest.raises(FitnessError, match=r"expected \(p, 390\)"):
        problem.evaluate(genes[:, :5])


@needs_brax
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_after_a_fall_in_brax_nothing_counts() -> None:
    found = []
    for steps in (100, 200):
        problem = BraxEpisodes("hopper", (slowness, effort), steps=steps)
        generator = torch.Generator().manual_seed(1)
        genes = torch.rand(3, problem.n_parameters, generator=generator) * 2 - 1
        found.append(problem.evaluate(genes))
    torch.testing.assert_close(found[1], found[0] / 2)
