"""Tests of settings and decisions."""
