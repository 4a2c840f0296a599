"""Every table of the store, wherever it is described."""

from __future__ import annotations

from mailferry.store import schema, schema_copy
from mailferry.store.schema_columns import metadata

DESCRIBED_IN = (schema, schema_copy)
"""A table is known once its file is imported."""

everything = metadata
