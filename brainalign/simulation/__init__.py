"""Worlds with planted truth: what a method must find, and what it must not."""

from brainalign.simulation.linear import LinearWorld, linear_world

__all__ = ["LinearWorld", "linear_world"]
