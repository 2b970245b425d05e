"""The page about a run: facts from its folder, a view of them, a template."""
