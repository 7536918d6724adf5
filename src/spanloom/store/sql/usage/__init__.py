"""Sums over spans by hour and day: usage, agents and charts are read from them.

    parts      what each span of a trace adds: a pure function of the trace's rows
    changes    what was written, replaced and deleted since the sums were made
    cells      the sums in the table `usage_cells`, and how changes are added to them
    follower   adds the changes behind the writer
    totals     answers questions from the sums and from what has changed since

The sums have every span below a cursor. A span's part depends on its whole trace: an agent that
repeats what its models used adds nothing. So what has changed is found by trace: the parts of the
rows that were summed up, some of which triggers have kept in `usage_retired`, against those of the
rows that are there now. The follower adds the difference and moves the cursor in one transaction,
and a read adds the difference to what it reads: it is exact at every moment.
"""
