"""`bench gpu`: the 13B architecture with random weights on one device, row by row, each row safe from the others."""
