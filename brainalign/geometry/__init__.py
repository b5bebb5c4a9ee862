"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.condensed import square_rdms as square_rdms
from brainalign.geometry.dimensionality import *
from brainalign.geometry.dynamics import *
from brainalign.geometry.inference import *
from brainalign.geometry.network_similarity import *
from brainalign.geometry.odd_one_out import *
from brainalign.geometry.rdms import *
from brainalign.geometry.searchlights import *
from brainalign.geometry.time import *
from brainalign.geometry.topology import *
