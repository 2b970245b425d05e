"""Tests of encoders, adapters, artefacts and proofs."""
