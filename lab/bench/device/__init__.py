"""What one device does with the big model: sections, kernels, copies, decodes, training."""
