"""The frozen encoder, its adapters and head, and the proofs that they learned."""
