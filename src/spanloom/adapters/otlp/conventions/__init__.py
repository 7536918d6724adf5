"""The conventions by which spans tell of models, agents and tools: one module each."""
