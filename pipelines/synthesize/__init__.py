"""Stages that make images and words for regions."""
