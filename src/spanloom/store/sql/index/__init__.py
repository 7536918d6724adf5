"""The inverted index over spans: words of what was said, and values at JSON paths.

    terms      which terms a span has, and which terms a condition needs: pure functions
    match      conditions on the JSON of events, decided on a span
    look       a look at the bytes of a message, before a span is read
    table      where terms are kept: FTS5 on SQLite, GIN on PostgreSQL
    indexer    fills the table behind the writer
    search     narrows a read to candidates, and decides each of them

The index gives candidates and never decides: a term is the entry of one version of a span, so an
entry whose version no span has any more finds nothing. What is younger than the index's cursor is a
candidate as it is.
"""
