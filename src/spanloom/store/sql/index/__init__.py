"""The inverted index over spans: words of what was said, and values at JSON paths.

    terms      which terms a span has, and which terms a condition needs: pure functions
    match      conditions on the JSON of events, decided on a span
    look       a look at the bytes of a message, before a span is read
    sieve      leaves out spans by the index, and those that are not in it by their bytes
    table      where terms are kept: FTS5 on SQLite, GIN on PostgreSQL
    indexer    fills the table behind the writer
    search     reads what is left in the order of an answer, a part at a time

The index gives candidates and never decides: a term is the entry of one version of a span, so an
entry whose version no span has any more finds nothing. Of what is younger than the index's cursor
the bytes are looked at.
"""
