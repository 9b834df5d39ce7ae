from __future__ import annotations

import torch

from evolve.genomes.compression.speed import products_a_second


def test_this_machine_computes_and_keeps_its_threads() -> None:
    threads = torch.get_num_threads()
    assert 1e7 < products_a_second() < 1e14
    assert torch.get_num_threads() == threads
