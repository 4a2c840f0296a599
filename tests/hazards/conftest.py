from __future__ import annotations

from tests.copying.conftest import hosts, lite
from tests.kit.stores import open_store, store, store_kind, store_url

__all__ = ["hosts", "lite", "open_store", "store", "store_kind", "store_url"]
