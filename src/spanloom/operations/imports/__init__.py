"""Records of other products: read from their files and APIs, and turned into spans and reviews."""
