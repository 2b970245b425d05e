"""Tests of the kinds of target."""
