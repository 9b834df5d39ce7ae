"""What every candidate can do: be packed, unpacked, expressed, and known by its digest.

Knows no kind of genome. The digest is sha256 over the class path, the facts as canonical JSON
and the arrays in name order, so equal content is one individual wherever it was made. What the
facts hold under `WHERE` says where things lie on this machine, and what they hold under `WRITTEN`
how the content was put into words; neither is a part of it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np

from evolve.errors import GenomeError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


WHERE = "where"
WRITTEN = "written"


class Packed(NamedTuple):
    """A genome as data: `facts` small and readable, `arrays` one safetensors payload."""

    facts: Mapping[str, Json]
    arrays: Mapping[str, np.ndarray]


@runtime_checkable
class Genome(Protocol):
    """One candidate, a frozen dataclass."""

    def pack(self) -> Packed:
        """The genome as facts and arrays; `unpack` gives back an equal genome."""
        ...

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        """The genome that `packed` came from."""
        ...

    def express(self) -> object:
        """What its kind means: a vector, a model's state dict, source files."""
        ...


def canonical(value: Json) -> str:
    """`value` as JSON text with sorted keys and no spaces; NaN and infinities are errors."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(genome: Genome) -> str:
    """The sha256 (hex) of the genome's class path and content."""
    packed = genome.pack()
    facts = {name: fact for name, fact in packed.facts.items() if name not in (WHERE, WRITTEN)}
    content = hashlib.sha256(f"{kind_of(genome)}\n{canonical(facts)}\n".encode())
    for name in sorted(packed.arrays):
        array = np.asarray(packed.arrays[name], order="C")  # ascontiguousarray makes 0-d 1-d
        content.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        content.update(array.tobytes())
    return content.hexdigest()


def kind_of(genome: Genome) -> str:
    """The import path of the genome's class, `module:qualname`: what the ledger stores."""
    cls = type(genome)
    return f"{cls.__module__}:{cls.__qualname__}"


def class_of(kind: str) -> type[Genome]:
    """The genome class at import path `kind`. Raises `GenomeError` if it cannot be had."""
    module, _, qualname = kind.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in qualname.split("."):
            found = vars(found)[part]
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise GenomeError(
            f"The genome class {kind!r} cannot be imported ({error}); run where the module "
            f"{module!r} that defines it can be found."
        ) from error
    if not isinstance(found, type) or not issubclass(found, Genome):
        raise GenomeError(f"{kind!r} is not a genome class: it lacks pack, unpack or express.")
    return found
