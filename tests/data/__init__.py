"""Tests of ``tightfit.data``."""
