"""Spreadsheets, opened in a process of their own: a few bytes may stand for billions of cells."""
