"""Stages that read recordings, or simulate them."""
