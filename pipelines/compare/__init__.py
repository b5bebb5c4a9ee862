"""Stages that compare geometries, choices and networks."""
