"""Predict the goals of football matches, and log how well that went."""
