"""Stages that compute features."""
