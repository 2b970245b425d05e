"""Tests of reading spreadsheets."""
