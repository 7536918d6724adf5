"""The conventions by which spans describe models, agents and tools: one module each."""
