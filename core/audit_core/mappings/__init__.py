"""Events of other systems as ours: pure functions from their record to the body of a post.

A mapping fills the canonical fields and keeps everything else of the record under `metadata`, field by field. Its
result is what a caller may post; it is checked like any other body.
"""
