"""The frozen encoder against transformers and peft."""
