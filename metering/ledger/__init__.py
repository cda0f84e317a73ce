"""The ledger: what is owed and why. `post` charges usage, `append` writes the rest, `verify` proves it."""
