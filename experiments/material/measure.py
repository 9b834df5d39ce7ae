"""The table of `README.md`: mean token loss of base, experts and plain merges by domain.

    python -m experiments.material.measure [--split validation] [--sequences 64]

Knows merging only as sums of task vectors in float32, enough to see whether a merge has room.
"""

import argparse
from collections.abc import Mapping

import numpy as np
import torch
from transformers import LlamaForCausalLM

from experiments import material

SCALES = (0.3, 0.4, 0.5, 0.7, 1.0)
State = Mapping[str, torch.Tensor]


def losses(model: LlamaForCausalLM, sequences: np.ndarray, batch: int = 8) -> np.ndarray:
    """(n,) float64 mean token loss (nats) of each sequence. `sequences`: (n, tokens) ids."""
    ids = torch.from_numpy(sequences)
    with torch.inference_mode():
        means = [_mean_loss(model, part) for part in torch.split(ids, batch)]
    return torch.cat(means).double().numpy()


def _mean_loss(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids).logits[:, :-1].float()
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return each.mean(1)


def merged(base: State, experts: Mapping[str, State], scale: float) -> dict[str, torch.Tensor]:
    """base + scale * sum of task vectors, float32; scale 1/3 is the uniform soup of three."""
    return {k: b + scale * sum(e[k] - b for e in experts.values()) for k, b in base.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="validation", choices=material.SPLITS)
    parser.add_argument("--sequences", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    texts = {d: t[: asked.sequences] for d, t in material.texts(asked.split).items()}
    model = LlamaForCausalLM.from_pretrained(material.base(), dtype=torch.float32)
    base = {k: v.clone() for k, v in model.state_dict().items()}
    experts = {
        domain: LlamaForCausalLM.from_pretrained(path, dtype=torch.float32).state_dict()
        for domain, path in material.experts().items()
    }
    rows: dict[str, State] = {"base": base} | {f"expert {d}": e for d, e in experts.items()}
    rows["uniform soup"] = merged(base, experts, 1 / 3)
    rows |= {f"task arithmetic {s}": merged(base, experts, s) for s in SCALES}
    print("| model |", " | ".join(texts), "| mean |")
    print("|---" * (len(texts) + 2) + "|")
    for name, state in rows.items():
        model.load_state_dict(state)
        found = [losses(model, t).mean() for t in texts.values()]
        print(f"| {name} |", " | ".join(f"{x:.3f}" for x in (*found, np.mean(found))), "|")


if __name__ == "__main__":
    main()
