"""How it is compared: data, corruption, quality, certificates, sweeps, processes, timing and the command line."""
