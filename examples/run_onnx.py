"""Classify texts with what 'tightfit export --format onnx' wrote: onnxruntime and tokenizers only.

Usage: python examples/run_onnx.py FOLDER < texts.txt     (one text a line)
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path(sys.argv[1])
names = json.loads((folder / "labels.json").read_text("utf-8"))["names"]
facts = json.loads((folder / "export.json").read_text("utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))  # cuts and pads by itself
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

texts = sys.stdin.read().splitlines()
for start in range(0, len(texts), 64):
    encodings = tokenizer.encode_batch(texts[start : start + 64])
    ids_BL = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    mask_BL = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
    (logits_BK,) = session.run(["logits"], {"input_ids": ids_BL, "attention_mask": mask_BL})
    powers_BK = np.exp((logits_BK - logits_BK.max(1, keepdims=True)) / facts["temperature"])
    probabilities_BK = powers_BK / powers_BK.sum(1, keepdims=True)
    for row in probabilities_BK:
        print(names[row.argmax()], f"{row.max():.4f}", sep="\t")
