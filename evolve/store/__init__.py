"""What outlives a process: the ledger and the vault of a run."""
