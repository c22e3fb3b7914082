"""Speech recognisers with CTC, dense and pruned."""
