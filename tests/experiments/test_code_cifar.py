import importlib
import sys

import pytest

from evolve.errors import ExperimentError


def test_without_a_gpu_it_says_so_and_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delitem(sys.modules, "experiments.code_cifar", raising=False)
    with pytest.raises(ExperimentError, match="torch finds no CUDA device"):
        importlib.import_module("experiments.code_cifar")
