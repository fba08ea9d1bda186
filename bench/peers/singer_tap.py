"""The benchmark's source with the Meltano SDK for Singer taps: a stream as that SDK's own documentation writes one."""

from records import SCHEMA, records
from singer_sdk import Stream, Tap


class Documents(Stream):
    name = "documents"
    primary_keys = ("id",)
    schema = SCHEMA

    def get_records(self, context):
        yield from records(self.config["documents"], self.config["began"])


class TapDocuments(Tap):
    name = "tap-documents"
    config_jsonschema = {"type": "object", "properties": {"documents": {"type": "integer"}, "began": {"type": "string"}}}

    def discover_streams(self):
        return [Documents(tap=self)]


if __name__ == "__main__":
    TapDocuments.cli()
