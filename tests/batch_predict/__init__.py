"""Tests of predictions of whole files."""
