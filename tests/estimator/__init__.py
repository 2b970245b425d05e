"""Tests of reading rows, beside runs that earlier versions sealed."""
