"""Stages that fit encoders."""
