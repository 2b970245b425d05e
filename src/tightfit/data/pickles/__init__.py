"""Rows out of pickled tables, without running anything of the pickle."""
