"""Tests of what computes predictions."""
