"""Stages that write pages."""
