"""A lab's folder described: a file for each form that folders have, and what is unpacked before."""

from brainalign.commands.init.study_file import init_study as init_study
