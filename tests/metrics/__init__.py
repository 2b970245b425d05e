"""Tests of scores and thresholds: numbers in, numbers out."""
