"""Measure the big model on one device: sections, kernels, copies, decodes, training."""
