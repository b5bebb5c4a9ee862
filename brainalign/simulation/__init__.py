"""Worlds with planted truth: what a method must find, and what it must not."""

from brainalign.simulation.concepts import *
from brainalign.simulation.signals import *
from brainalign.simulation.voxels import *
