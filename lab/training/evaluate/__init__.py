"""Measure and show the skill of a trained model."""
