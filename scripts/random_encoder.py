"""Makes a model folder with random weights from a shipped configuration, and a tokenizer's files.

For trying the whole path at full size where the real weights cannot be fetched:

    python scripts/random_encoder.py roberta-base --tokenizer FOLDER --out models/random-roberta
    tightfit train --data sample --model models/random-roberta --recipe paper --max-steps 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from tightfit.budget.published import PUBLISHED_NAMES, published_config


def make(name: str, tokenizer: Path, out: Path, seed: int = 0) -> None:
    """Write the folder, as ``save_pretrained`` does.

    Args:
        name: one of the shipped configurations.
        tokenizer: a folder with the tokenizer's files.
        out: the folder to write.
        seed: of the weights.
    """
    config = published_config(name)
    if config is None:
        raise SystemExit(
            f"no configuration of {name} ships; there are {', '.join(PUBLISHED_NAMES)}"
        )
    torch.manual_seed(seed)
    AutoModel.from_config(AutoConfig.for_model(**config)).save_pretrained(out)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(out)


def main() -> None:
    """Parse the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PUBLISHED_NAMES)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of its files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    make(args.name, args.tokenizer, args.out)
    print(f"random {args.name} is in {args.out}")


if __name__ == "__main__":
    main()
