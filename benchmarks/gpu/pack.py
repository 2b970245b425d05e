"""What must travel to a machine without a network, in files below 64 MiB.

    python -m benchmarks.gpu.pack --out packed
    python -m benchmarks.gpu.pack --out packed --base models/all-mpnet-base-v2 --data rows.parquet

Weights go in half precision, and are read as fp32 like any others. ``scripts/gpu.sh --weights
packed`` takes all of it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks.gpu.pieces import MOST_BYTES, split
from tightfit.model.locate import locate

KEPT = ("*.json", "*.txt", "*.model")
"""Configuration and tokenizer."""

WEIGHTS = "model.safetensors"


def pack_encoder(source: Path, out: Path, most: int = MOST_BYTES) -> None:
    """Copy a model folder with its weights in half precision.

    Args:
        source: a model folder with safetensors weights, in one file or in shards.
        out: the folder to write.
        most: bytes of one file; a larger one becomes pieces.
    """
    out.mkdir(parents=True, exist_ok=True)
    for file in (file for pattern in KEPT for file in source.glob(pattern)):
        if not file.name.endswith(".index.json"):
            shutil.copyfile(file, out / file.name)
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(source.glob("*.safetensors")):
        tensors |= load_file(file)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file(halves, out / WEIGHTS, {"format": "pt"})
    split(out / WEIGHTS, most)


def main() -> None:
    """Write the folder, and say what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="becomes encoder/")
    parser.add_argument("--base", help="an encoder of base size, by name or folder: base/")
    parser.add_argument("--data", type=Path, help="rows as Parquet: rows.parquet")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    pack_encoder(locate(args.model).folder, args.out / "encoder")
    if args.base:
        pack_encoder(locate(args.base).folder, args.out / "base")
    if args.data:
        split(Path(shutil.copyfile(args.data, args.out / "rows.parquet")))
    for file in sorted(path for path in args.out.rglob("*") if path.is_file()):
        print(f"{file.stat().st_size / 2**20:8.1f} MiB  {file}")


if __name__ == "__main__":
    main()
