"""A sync of that source into a DuckDB file by PyAirbyte, which is how Airbyte runs without its platform.

    airbyte_sync.py SOURCE FOLDER DOCUMENTS
"""

import sys
from pathlib import Path

import airbyte
from airbyte.caches import DuckDBCache


def main(program, folder, documents):
    config = {"documents": int(documents), "began": f"{folder}/began"}
    source = airbyte.get_source("source-documents", config=config, local_executable=Path(program), streams="*")
    cache = DuckDBCache(db_path=f"{folder}/documents.duckdb", cache_dir=f"{folder}/cache")
    result = source.read(cache, force_full_refresh=True)
    assert result.processed_records == int(documents), result.processed_records


if __name__ == "__main__":
    main(*sys.argv[1:])
