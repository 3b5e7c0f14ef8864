"""The three promises under kill -9, outages, frozen processes and replaced data, with real servers."""
