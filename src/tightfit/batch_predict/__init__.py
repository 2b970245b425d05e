"""Predictions of whole files: chunks, a resumable checkpoint, shards, writers."""
