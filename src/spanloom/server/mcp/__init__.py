"""`/mcp`: the Model Context Protocol, by which a coding agent reads what was recorded.

Five tools answer in Markdown, each within a number of characters, and say how to read on. They call
the methods of the API as the caller of the request, so a key may do here what it may do there.
"""
