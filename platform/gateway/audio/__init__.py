"""What the client sends, as what the wire carries: 16 kHz signed 16-bit, one lane for each channel that is
transcribed. Stateful, no I/O of its own."""
