"""Sweeps: train an experiment in many settings, and find the best."""
