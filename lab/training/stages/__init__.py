"""The stages of a training: text, autoencoder, diffusion."""
