"""The engines by name, for whoever must know them without loading one."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["torch", "torch-bf16", "onnx", "onnx-int8", "openvino", "ray"]
AskedEngine = Literal["auto", EngineName]

LIBRARY_OF = {
    "onnx": "onnxruntime",
    "onnx-int8": "onnxruntime",
    "openvino": "openvino",
    "ray": "ray",
}
"""What an engine needs besides PyTorch."""
