"""Words as they were heard in, words as the customer wants to read them out. Pure."""
