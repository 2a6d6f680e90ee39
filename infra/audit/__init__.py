"""Audit: a Merkle tree over the log, signed and witnessed; proofs, exports and replay."""
