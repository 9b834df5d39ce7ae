"""What PyTorch's layers take: parameters in order, and which of them are widths. Knows no tree.

The signatures are those of torch.nn 2.x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_CONV = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "bias",
    "padding_mode",
)
_BATCH_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_POOL = ("kernel_size", "stride", "padding")

SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "Linear": ("in_features", "out_features", "bias"),
    "BatchNorm1d": _BATCH_NORM,
    "BatchNorm2d": _BATCH_NORM,
    "InstanceNorm2d": _BATCH_NORM,
    "GroupNorm": ("num_groups", "num_channels", "eps", "affine"),
    "LayerNorm": ("normalized_shape", "eps"),
    "MaxPool2d": _POOL,
    "AvgPool2d": _POOL,
    "LPPool2d": ("norm_type", "kernel_size", "stride"),
    "AdaptiveAvgPool2d": ("output_size",),
    "AdaptiveMaxPool2d": ("output_size",),
    "Flatten": ("start_dim", "end_dim"),
    "Unflatten": ("dim", "unflattened_size"),
    "Dropout": ("p", "inplace"),
    "Dropout2d": ("p", "inplace"),
    "max_pool2d": ("input", *_POOL),
    "avg_pool2d": ("input", *_POOL),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size"),
}

ACTIVATIONS = (
    "ReLU",
    "GELU",
    "SiLU",
    "LeakyReLU",
    "ELU",
    "Tanh",
    "Mish",
    "Hardswish",
    "Softplus",
    "ReLU6",
    "SELU",
    "CELU",
    "Sigmoid",
    "Hardtanh",
    "Softsign",
    "PReLU",
)
FUNCTIONS = (  # of torch.nn.functional, which keep the shape
    "relu",
    "gelu",
    "silu",
    "leaky_relu",
    "elu",
    "tanh",
    "mish",
    "hardswish",
    "softplus",
    "relu6",
    "selu",
    "celu",
    "sigmoid",
    "hardtanh",
    "softsign",
)
KEEPING = {*ACTIVATIONS, *FUNCTIONS, "Identity", "Dropout", "Dropout2d", "dropout", "dropout2d"}
KEEPING |= {"log_softmax", "softmax", "contiguous", "float"}

CONVOLUTIONS = {"Conv1d", "Conv2d"}
NORMS = {"BatchNorm1d", "BatchNorm2d", "InstanceNorm2d", "GroupNorm", "LayerNorm"}
POOLS = {"MaxPool2d", "AvgPool2d", "LPPool2d", "max_pool2d", "avg_pool2d"}
ADAPTIVE = {"AdaptiveAvgPool2d", "AdaptiveMaxPool2d"}
ADAPTIVE |= {"adaptive_avg_pool2d", "adaptive_max_pool2d"}
ON_MAPS = {*CONVOLUTIONS, "BatchNorm2d", "InstanceNorm2d", *POOLS, *ADAPTIVE}
ON_ROWS = {"Linear", "BatchNorm1d", "LayerNorm"}
SHAPED = {"Conv1d", "Conv2d", "Linear", *NORMS, *POOLS, *ADAPTIVE, "Flatten", "Unflatten"}

_IN = {"in_channels", "in_features", "in_planes", "in_ch", "in_dim", "in_width", "inp", "cin"}
_IN |= {"c_in", "n_in", "inputs", "in_c", "before"}
_OUT = {"out_channels", "out_features", "out_planes", "out_ch", "out_dim", "out_width", "oup"}
_OUT |= {"cout", "c_out", "n_out", "outputs", "planes", "out_c", "after"}
_WIDTH = {"num_features", "num_channels", "normalized_shape", "channels", "features", "width"}
_WIDTH |= {"dim", "filters", "hidden", "n_channels", "n_features"}


@dataclass(frozen=True)
class Widths:
    """A layer's parameters in order, and which are its input's and output's width; a layer that
    keeps the width has no `output`."""

    order: tuple[str, ...]
    input: str
    output: str = ""


def widths(kind: str, classes: Mapping[str, tuple[str, ...]]) -> Widths | None:
    """Those of a layer of PyTorch, or of a class whose parameters have telling names."""
    order = SIGNATURES.get(kind) or classes.get(kind, ())
    taken = next((name for name in order[:2] if name in _IN), None)
    if taken and len(order) > 1 and order[1] in _OUT:
        return Widths(order, taken, order[1])
    kept = [name for name in order if name in _WIDTH]
    if len(kept) == 1 and (kind in NORMS or order[0] == kept[0]):
        return Widths(order, kept[0])
    return None
