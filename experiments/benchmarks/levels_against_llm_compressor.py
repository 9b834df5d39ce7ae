"""Output error and seconds of our GPTQ and SparseGPT beside llm-compressor's, layer by layer.

    OMP_NUM_THREADS=1 python -m experiments.benchmarks.levels_against_llm_compressor [--every N]

For an environment of its own, as llm-compressor wants an older transformers than ours: install
llmcompressor 0.14 there and start this from the repository's root; of evolve only the level
solvers are loaded. Layers and text are those of experiments.material: stories15M in bfloat16,
120 sequences of its three domains for the second moments, 120 others for held-out errors. Both
get the same matrices, groups of 32, symmetric, damping 0.01, blocks of 128 columns. Ratios below
1 mean that ours errs less. "published" is the papers' form of ours, which theirs is too, but for
its scales: taken before the columns are settled, theirs without and with their default column
order ("static"). "ours" is what the level database holds by default.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evolve.errors import ExperimentError
from evolve.levels.gptq import gptq
from evolve.levels.hessian import add_, factored, output_error
from evolve.levels.quantise import FULL, nearest
from evolve.levels.sparsegpt import sparsegpt

GROUP, DAMPING, BLOCK = 32, 0.01, 128
BITS = (2, 3, 4)
N_SEQUENCES = 40  # a domain
Solver = Callable[[Tensor, Tensor], Tensor]  # (weight, second moment) -> changed weight


@dataclass(frozen=True, eq=False)
class Layer:
    """(rows, columns) bfloat16, and the second moments of its inputs on two texts."""

    name: str
    weight: Tensor
    seen: Tensor
    unseen: Tensor


def main() -> None:
    """Prints a table of ratios and one of seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=3, help="take every n-th linear layer")
    every = parser.parse_args().every
    torch.set_num_threads(1)
    found = peers()
    report(material_layers(every), found)


def peers() -> Mapping[str, Mapping[str, Solver]]:
    """Level -> name -> solver, theirs and ours. Raises `ExperimentError` without theirs."""
    try:
        import llmcompressor  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise ExperimentError(
            "llmcompressor is not installed here, and cannot be beside our transformers; make an "
            "environment of its own (pip install 'llmcompressor>=0.14,<0.15' torch==2.13.0) and "
            "run this there, from the repository's root."
        ) from None
    found: dict[str, Mapping[str, Solver]] = {}
    for bits in BITS:
        found[f"{bits} bits"] = {
            "theirs": their_gptq(bits, None),
            "theirs, static": their_gptq(bits, "static"),
            "published": our_gptq(bits, published=True),
            "ours": our_gptq(bits, published=False),
            "rounding": lambda w, h, bits=bits: nearest(w, bits, GROUP, w.dtype).weight(),  # type: ignore[misc]
        }
    found["50 % zeros"] = {
        "theirs": their_sparsegpt,
        "published": lambda w, h: (
            sparsegpt(w, factored(h, DAMPING), w.numel() // 2, w.dtype, BLOCK, ranked=False).weight
        ),
        "ours": lambda w, h: sparsegpt(w, factored(h, DAMPING), w.numel() // 2, w.dtype).weight,
    }
    return found


def our_gptq(bits: int, published: bool) -> Solver:
    """Ours at `bits`, with the full scale or with fitted ones."""

    def solve(weight: Tensor, hessian: Tensor) -> Tensor:
        factor = factored(hessian, DAMPING)
        if published:
            return gptq(weight, factor, bits, GROUP, weight.dtype, FULL).weight()
        return gptq(weight, factor, bits, GROUP, weight.dtype).weight()

    return solve


def their_gptq(bits: int, order: str | None) -> Solver:
    """llm-compressor's `quantize_weight`, its scales by compressed-tensors' min and max."""
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.utils import calculate_qparams
    from llmcompressor.modifiers.gptq.gptq_quantize import (  # type: ignore[import-not-found]
        quantize_weight,
    )

    args = QuantizationArgs(
        num_bits=bits, strategy="group", group_size=GROUP, symmetric=True, actorder=order
    )

    def solve(weight: Tensor, hessian: Tensor) -> Tensor:
        groups = weight.unflatten(-1, (-1, GROUP))
        scales, zeros = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        changed, _, failed = quantize_weight(
            weight.float()[None].clone(),
            hessian.float()[None].clone(),
            scales[None],
            zeros[None],
            None,
            args,
            blocksize=BLOCK,
            percdamp=DAMPING,
        )
        if bool(failed.any()):
            raise ExperimentError("llm-compressor could not factor a Hessian; compare others.")
        return changed[0].to(weight.dtype)

    return solve


def their_sparsegpt(weight: Tensor, hessian: Tensor) -> Tensor:
    """llm-compressor's `sparsify_weight` at one half."""
    from llmcompressor.modifiers.pruning.sparsegpt.sgpt_sparsify import (  # type: ignore[import-not-found]
        sparsify_weight,
    )

    module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    module.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
    _, changed = sparsify_weight(
        module=module,
        hessians_dict={module: hessian.float().clone()},
        sparsity=0.5,
        prune_n=0,
        prune_m=0,
        block_size=BLOCK,
        dampening_frac=DAMPING,
        preserve_sparsity_mask=False,
    )
    return changed


def material_layers(every: int) -> list[Layer]:
    """Every n-th linear layer of stories15M's blocks, with second moments of real text."""
    from transformers import AutoModelForCausalLM

    from experiments import material

    model = AutoModelForCausalLM.from_pretrained(material.base(), dtype=torch.float32).eval()
    modules = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in name
    }
    chosen = dict(list(modules.items())[::every])
    seen, unseen = (
        second_moments(model, chosen, material.texts(split)) for split in ("train", "validation")
    )
    return [
        Layer(name, module.weight.detach().bfloat16(), seen[name], unseen[name])
        for name, module in chosen.items()
    ]


def second_moments(
    model: torch.nn.Module,
    modules: Mapping[str, torch.nn.Linear],
    texts: Mapping[str, np.ndarray],
) -> dict[str, Tensor]:
    """Name -> mean of x x^T over the inputs of each module on the first sequences of `texts`."""
    sums = {
        name: torch.zeros(module.in_features, module.in_features, dtype=torch.float64)
        for name, module in modules.items()
    }
    counts = dict.fromkeys(modules, 0)

    def watch(name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
        def see(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
            counts[name] += add_(sums[name], inputs[0])

        return see

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in modules.items()]
    with torch.no_grad():
        for sequences in texts.values():
            model(torch.from_numpy(sequences[:N_SEQUENCES]))
    for hook in hooks:
        hook.remove()
    return {name: total / counts[name] for name, total in sums.items()}


def report(layers: Sequence[Layer], found: Mapping[str, Mapping[str, Solver]]) -> None:
    """Runs every solver on every layer and prints the tables."""
    for level, solvers in found.items():
        errors: dict[str, list[tuple[float, float]]] = {name: [] for name in solvers}
        seconds = dict.fromkeys(solvers, 0.0)
        zeros = dict.fromkeys(solvers, 0)
        for layer in layers:
            for name, solve in solvers.items():
                begun = time.process_time()
                changed = solve(layer.weight, layer.seen)
                seconds[name] += time.process_time() - begun
                zeros[name] += int((changed == 0).sum())
                errors[name].append(
                    (
                        output_error(layer.weight, changed, layer.seen),
                        output_error(layer.weight, changed, layer.unseen),
                    )
                )
        size = sum(layer.weight.numel() for layer in layers)
        print(f"\n{level}, {len(layers)} layers: output error over theirs, and CPU-seconds")
        print(f"{'':16} {'mean':>7} {'worst':>7} {'held out':>9} {'seconds':>8} {'zeros':>7}")
        for name in solvers:
            ratios = [ours[0] / theirs[0] for ours, theirs in zip(errors[name], errors["theirs"])]
            held = [ours[1] / theirs[1] for ours, theirs in zip(errors[name], errors["theirs"])]
            print(
                f"{name:16} {mean(ratios):7.3f} {max(ratios):7.3f} {mean(held):9.3f} "
                f"{seconds[name]:8.2f} {zeros[name] / size:7.4f}"
            )


def mean(ratios: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))


if __name__ == "__main__":
    main()
