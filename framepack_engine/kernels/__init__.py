"""Exact kernels: the transformer's element-wise chains, fused, with the bits of the separate operations."""
