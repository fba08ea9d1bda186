"""The benchmark's documents as records of other programs. They are made of what the Python connector makes them of."""

from pathlib import Path

from documents import allow, fields

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
TIME = {"type": "string", "format": "date-time"}
SCHEMA = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "version": TEXT,
        "title": TEXT,
        "url": TEXT,
        "content": TEXT,
        "media_type": TEXT,
        "metadata": {
            "type": "object",
            "properties": {f"field_{field}": (TEXT, NUMBER, TEXT, {"type": "boolean"})[field % 4] for field in range(8)},
        },
        "permissions": {
            "type": "object",
            "properties": {"visibility": TEXT, "allow": {"type": "array", "items": TEXT}},
        },
        "created_at": TIME,
        "updated_at": TIME,
    },
    "required": ["id"],
}


def records(documents, began):
    """So many, one after the other. What the program does before the first one is its start, which does not count: the file
    `began` is touched then."""
    Path(began).touch()
    for number in range(1, documents + 1):
        record = fields(number)
        record["version"] = "1"
        record["permissions"] = {"visibility": "private", "allow": allow(number)}
        record["created_at"] = record["created_at"].isoformat()
        record["updated_at"] = record["updated_at"].isoformat()
        yield record
