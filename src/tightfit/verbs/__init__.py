"""One short function a verb: the only package that knows the order of things."""
