"""Worlds with planted truth that tests alone use; those of studies and documentation are in brainalign.simulation."""
