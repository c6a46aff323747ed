"""Ways out: one module per channel, each sends a parcel and says honestly what happened."""
