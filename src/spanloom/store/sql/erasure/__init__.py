"""Erasure and retention on a relational database.

owned       the tables that have rows of projects
users       which spans and other rows are those of a user
parts       deletes a part, in one transaction
retention   which traces are too old
work        `Erasure`: intent, parts, and the end
"""
