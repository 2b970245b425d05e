"""Tests of the package `tightfit.training`."""
