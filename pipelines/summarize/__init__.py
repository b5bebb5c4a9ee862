"""Stages that gather the numbers of a subject or a study."""
