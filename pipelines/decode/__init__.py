"""Stages that decode recordings."""
