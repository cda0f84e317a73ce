"""What the payment provider is told and what it tells us. Nothing else of ours imports its library."""
