"""Readers of recordings, splits of their trials, and the audit that runs before either.

read_fmri        volumes with labels, in blocks        read_betas     a map per trial: surface, volume, CIFTI
read_fmriprep    BIDS derivatives and events           read_epochs    MNE epochs
read_array       rows x targets [x times] in a file of arrays
read_recordings  M/EEG of categories: Muse CSV, MNE epochs, BIDS
read_videos · read_neural  frames that were shown or hidden, and neurons meanwhile
read_judgements  odd-one-out triplets of objects
read_zuco · read_bids_stimuli · read_things_epochs   M/EEG of sentences and images      read_region_series  fMRI
read_subject     whichever of them a descriptor asks for
read_algonauts · read_nsd · read_nsd_cortex · read_things · read_braincorl     published data as they are downloaded
fetch_files      downloads what a descriptor says where to find
audit_study      everything wrong with a dataset of any kind, before anything long is computed
"""

from brainalign.datasets.checks import *
from brainalign.datasets.formats import *
from brainalign.datasets.problems import Problem, stop_on
from brainalign.datasets.published import *
from brainalign.datasets.sentences import *
from brainalign.datasets.splits import *
from brainalign.datasets.studies import *
from brainalign.study import read_feature_norms as read_feature_norms
