"""The views: pure functions from canonical values to the messages of the contract, for spans of any door."""
