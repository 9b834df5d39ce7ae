"""The engine: moves births through workers and writes the ledger."""
