"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.grounded import *
from brainalign.decoding.masked import *
from brainalign.decoding.scoring import *
from brainalign.decoding.shared_space import *
from brainalign.decoding.text import *
from brainalign.decoding.training import *
