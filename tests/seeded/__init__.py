"""Cases of the seed contract, a file per part of the library: name of a function to a function of the seed."""
