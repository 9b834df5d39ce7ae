from __future__ import annotations

import pytest

from evolve.errors import GenomeError
from evolve.genomes.methods import PARAMETERS, Each, Method, parameters_of


@pytest.mark.parametrize("method", Method)
def test_parameters_are_mergekits(method: Method) -> None:
    """Names, and whether there is one value a model, as mergekit declares them."""
    from mergekit.merge_methods import ParameterScope, get

    each = {
        ParameterScope.SHARED: Each.CELL,
        ParameterScope.INPUT: Each.INPUT,
        ParameterScope.NON_BASE: Each.EXPERT,
    }
    theirs = {p.name: each[p.scope] for p in get(method.value).spec.parameters}
    for parameter in PARAMETERS[method]:
        if method is not Method.NUSLERP:  # one t stands for the pair of weights
            assert theirs[parameter.name] is parameter.each


@pytest.mark.parametrize("method", Method)
def test_defaults_are_inside_the_bounds(method: Method) -> None:
    for parameter in PARAMETERS[method]:
        assert parameter.between(parameter.low, parameter.high) == parameter
        assert parameter.neutral is None or parameter.low <= parameter.neutral <= parameter.high


def test_bounds_and_fixed_values_replace_the_defaults() -> None:
    weight, density, scale = parameters_of(Method.TIES, {"weight": (0, 2)}, {"density": 0.5})
    assert (weight.low, weight.high, weight.fixed) == (0, 2, None)
    assert density.fixed == 0.5
    assert scale.fixed is None


@pytest.mark.parametrize(
    ("method", "bounds", "text"),
    [
        (Method.LINEAR, {"density": (0.0, 1.0)}, "linear has no parameter density; it has weight"),
        (Method.TIES, {"density": (0.0, 1.5)}, r"inside \[0.0, 1.0\]"),
        (Method.TIES, {"weight": (1.0, 0.0)}, "low <= high"),
        (Method.TIES, {"weight": (0.0, float("inf"))}, "not an interval"),
        (Method.LINEAR, {"weight": (-1.0, 1.0)}, r"inside \[0.0"),
    ],
)
def test_impossible_bounds_are_refused(
    method: Method, bounds: dict[str, tuple[float, float]], text: str
) -> None:
    with pytest.raises(GenomeError, match=text):
        parameters_of(method, bounds, {})


def test_normalised_weights_cannot_be_fixed_at_nothing() -> None:
    with pytest.raises(GenomeError, match="give more than 0"):
        parameters_of(Method.LINEAR, {}, {"weight": 0.0})
