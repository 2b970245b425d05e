"""Tests of the package `tightfit.data`."""
