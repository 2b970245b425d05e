"""A linear model that answers what it is sure of, before the encoder is asked."""
