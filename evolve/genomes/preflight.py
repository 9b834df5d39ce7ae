"""Can these models be merged? Told from headers and configs, before any weight is read.

Every refusal is one `CheckpointError` that names both sides. Knows no merge arithmetic.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from evolve.errors import CheckpointError
from evolve.genomes.checkpoint import (
    DTYPES,
    ITEMSIZE,
    Entry,
    Source,
    cache_dir,
    is_adapter,
    read_config,
    read_entries,
)
from evolve.genomes.methods import Method

# Config keys that say what the tensors mean; the rest (dropout, versions, token ids) may differ.
_STRUCTURE = (
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "hidden_act",
    "vocab_size",
    "tie_word_embeddings",
    "n_embd",
    "n_layer",
    "n_head",
)
# Of these, models of equal shapes may have others; transformers names and fills them in.
_NUMERICS = (
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rms_norm_eps",
    "layer_norm_eps",
    "sliding_window",
)
DELTAS = "deltas.safetensors"  # the file of a `merge_folder` that holds the task vectors
_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")


def check(base: Path, experts: Sequence[Path], method: Method | None) -> None:
    """Refuses what cannot be merged. `method` None: looks at the models alone.

    Raises `CheckpointError` for: too few or too many experts; another architecture, tensor name
    or shape; another position encoding or norm; another tokenizer or vocabulary; quantised
    weights; too little memory.
    """
    if method is not None:
        _check_number(method, experts)
    ours, config = _entries(base), read_config(base)
    for expert in experts:
        if is_adapter(expert):
            _check_adapter(expert)
            continue
        _check_structure(base, config, expert, read_config(expert))
        _check_numerics(base, config, expert, read_config(expert))
        _check_tensors(base, ours, expert, _entries(expert), tied=_tied(config))
        _check_tokenizer(base, expert)
    if method is not None:
        _check_memory(ours, len(experts))


def check_disk(base: Source, experts: Sequence[Source], method: Method) -> None:
    """Refuses if what is to be cached and is not yet, does not fit on the disk.

    That is each adapter merged into `base`, and the task vectors if the arithmetic is ours. Reads
    no merged adapter, so that it can come before the merging. Raises `CheckpointError`.
    """
    adapters = {expert.weights for expert in experts if expert.adapter}
    unmerged = [weights for weights in adapters if not (weights / "config.json").is_file()]
    full = [base, *(expert for expert in experts if not expert.adapter)]
    size = sum(base.entries[name].size for name in floating_names(full))
    needed = 4 * sum(entry.size for entry in base.entries.values()) * len(unmerged)  # float32
    if method.ours and not (merge_folder(base, experts) / DELTAS).is_file():
        needed += size * (4 + 5 * len(experts))  # float32 base and deltas, one byte of rank
    if not needed:
        return
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache_dir()).free
    except OSError as error:
        raise CheckpointError(
            f"The cache {cache_dir()} cannot be used ({error}); set EVOLVE_CACHE to a folder "
            "that can be written."
        ) from error
    if needed > free:
        raise CheckpointError(
            f"What is cached of {base.path} and {len(experts)} experts ({len(unmerged)} adapters "
            f"to be merged) needs up to {needed / 2**30:.3g} GiB in {cache_dir()}, "
            f"{free / 2**30:.3g} GiB are free; free some, or set EVOLVE_CACHE to a folder on a "
            "larger disk."
        )


def merge_folder(base: Source, experts: Sequence[Source]) -> Path:
    """Where what is derived from `base` and `experts` is cached."""
    whole = " ".join(source.digest for source in (base, *experts))
    return cache_dir() / "merges" / hashlib.sha256(whole.encode()).hexdigest()[:32]


def shared_names(sources: Sequence[Source]) -> list[str]:
    """Tensor names that all have; a head stored beside tied embeddings by some is left out."""
    return [name for name in sources[0].entries if all(name in s.entries for s in sources)]


def floating_names(sources: Sequence[Source]) -> list[str]:
    """Those of `shared_names` that are merged; integer buffers stay the base's."""
    entries = sources[0].entries
    return [name for name in shared_names(sources) if entries[name].dtype in DTYPES]


def storage_dtype(entries: Mapping[str, Entry]) -> str:
    """The dtype that most floating elements are stored in, in torch's words."""
    sizes: Counter[str] = Counter()
    for entry in entries.values():
        if entry.dtype in DTYPES:
            sizes[entry.dtype] += entry.size
    return DTYPES[sizes.most_common(1)[0][0]]


def _tied(config: Mapping[str, object]) -> bool:
    return bool(config.get("tie_word_embeddings", False))


def _entries(folder: Path) -> dict[str, Entry]:
    entries = read_entries(folder)
    if not any(entry.dtype in DTYPES for entry in entries.values()):
        raise CheckpointError(f"{folder} holds no floating-point tensor; give a model.")
    for name, entry in entries.items():
        if entry.dtype.startswith(("F8", "F4")):
            raise CheckpointError(
                f"{folder} stores {name} quantised ({entry.dtype}); merging needs "
                f"{', '.join(DTYPES)}: give the unquantised checkpoint."
            )
    return entries


def _check_number(method: Method, experts: Sequence[Path]) -> None:
    least = 2 if method.pair or method is Method.MODEL_STOCK else 1
    if len(experts) < least or (method.pair and len(experts) > 2):
        raise CheckpointError(
            f"{method.value} merges {'exactly 2' if method.pair else f'{least} or more'} experts, "
            f"got {len(experts)}; name the experts accordingly."
        )


def _check_adapter(folder: Path) -> None:
    file = folder / "adapter_config.json"
    try:
        kind = json.loads(file.read_text(encoding="utf-8")).get("peft_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({error}); save the adapter anew."
        ) from error
    if kind != "LORA" or not (folder / "adapter_model.safetensors").is_file():
        raise CheckpointError(
            f"{folder} is a PEFT adapter of type {kind}; only LORA adapters with "
            "adapter_model.safetensors can be merged into their base."
        )


def _check_structure(
    base: Path, ours: Mapping[str, object], expert: Path, theirs: Mapping[str, object]
) -> None:
    for key in _STRUCTURE:
        if key in ours and key in theirs and ours[key] != theirs[key]:
            raise CheckpointError(
                f"{key} is {ours[key]!r} in {base} and {theirs[key]!r} in {expert}; only models "
                "of one architecture, fine-tuned from one base, can be merged."
            )


def _check_numerics(
    base: Path, ours: Mapping[str, object], expert: Path, theirs: Mapping[str, object]
) -> None:
    """Refuses another position encoding, norm epsilon or window.

    Files that differ may mean the same (a default left out, `rope_theta` moved in
    `rope_parameters`): then transformers reads both, and a config that it cannot is as written.
    """
    if all(ours.get(key) == theirs.get(key) for key in _NUMERICS):
        return
    one, two = _filled(base), _filled(expert)
    if one is None or two is None:
        one, two = ours, theirs
    for key in _NUMERICS:
        if one.get(key) != two.get(key):
            raise CheckpointError(
                f"{key} is {one.get(key)!r} in {base} and {two.get(key)!r} in {expert}: their "
                "weights mean different things; give experts that kept their base's, or correct "
                "the config.json that is wrong."
            )


def _filled(folder: Path) -> Mapping[str, object] | None:
    """The config of `folder` with the architecture's defaults; None if transformers cannot."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    told: dict[str, object] = config.to_dict()
    return told


def _check_tensors(
    base: Path,
    ours: Mapping[str, Entry],
    expert: Path,
    theirs: Mapping[str, Entry],
    tied: bool,
) -> None:
    for here, entries, there, others in (
        (base, ours, expert, theirs),
        (expert, theirs, base, ours),
    ):
        missing = [n for n in entries if n not in others and not (tied and n.endswith(_HEADS))]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise CheckpointError(
                f"{here} has the tensor {missing[0]}{more}, {there} has not; give checkpoints "
                "of one architecture, saved with the same tensor names."
            )
    for name, entry in ours.items():
        if name in theirs and theirs[name].shape != entry.shape:
            raise CheckpointError(
                f"{name} has shape {entry.shape} in {base} and {theirs[name].shape} in {expert}; "
                "if it is an embedding, the vocabularies differ: resize one to the other first."
            )
        if name in theirs and (theirs[name].dtype in DTYPES) != (entry.dtype in DTYPES):
            raise CheckpointError(
                f"{name} is {entry.dtype} in {base} and {theirs[name].dtype} in {expert}; both "
                "must be floating point."
            )


def _check_tokenizer(base: Path, expert: Path) -> None:
    """Refuses different tokens or ids; a checkpoint without tokenizer files agrees with any."""
    for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"):
        ours, theirs = base / name, expert / name
        if not (ours.is_file() and theirs.is_file()):
            continue
        if ours.read_bytes() == theirs.read_bytes():
            continue
        if name == "tokenizer.json":
            one, two = _tokens(ours), _tokens(theirs)
            if one == two:
                continue
            odd = sorted(set(one.items()) ^ set(two.items()))[:1]
            example = f", for example {odd[0][0]!r}" if odd else ""
        else:
            example = ""
        raise CheckpointError(
            f"The tokenizers of {base} and {expert} differ ({name}{example}); merged embeddings "
            "would be meaningless. Give experts that kept their base's vocabulary."
        )


def _tokens(file: Path) -> dict[str, str]:
    """What decides a text's ids: vocabulary, added tokens, merges and the splitting rules."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        model = told["model"]
        vocab = model.get("vocab", {})
        pairs = vocab.items() if isinstance(vocab, dict) else enumerate(map(str, vocab))
        tokens = {f"token {token}": str(number) for token, number in pairs}
        added = {f"added {t['content']}": str(t["id"]) for t in told.get("added_tokens", ())}
        rules = {
            key: json.dumps(told.get(key), sort_keys=True)
            for key in ("normalizer", "pre_tokenizer")
        }
        merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges") or ()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file} cannot be read ({error!r}); save it anew.") from error
    return {**tokens, **added, **rules, "merges": "\n".join(merges)}


def _check_memory(ours: Mapping[str, Entry], n_experts: int) -> None:
    """Refuses if one candidate and the scratch of its largest tensor do not fit."""
    largest = max(entry.size for entry in ours.values())
    needed = sum(entry.size * ITEMSIZE.get(entry.dtype, 8) for entry in ours.values())
    needed += 4 * largest * (n_experts + 4)  # float32, and its sorting
    free = _free_memory()
    if free is not None and needed > free:
        raise CheckpointError(
            f"Merging {n_experts} experts needs about {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free; use a larger machine or a smaller model."
        )


def _free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
