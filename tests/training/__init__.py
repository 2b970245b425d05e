"""Tests of the training loop and what stands around it."""
