"""The benchmark's source with the Airbyte Python CDK: a stream of a source as the CDK's own documentation writes one."""

import sys

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import Stream
from records import SCHEMA, records


class Documents(Stream):
    name = "documents"
    primary_key = "id"

    def __init__(self, config):
        super().__init__()
        self.config = config

    def get_json_schema(self):
        return SCHEMA

    def read_records(self, sync_mode, cursor_field=None, stream_slice=None, stream_state=None):
        yield from records(self.config["documents"], self.config["began"])


class Source(AbstractSource):
    def check_connection(self, logger, config):
        return True, None

    def streams(self, config):
        return [Documents(config)]

    def spec(self, logger):
        return ConnectorSpecification(connectionSpecification={"type": "object", "properties": {}})


if __name__ == "__main__":
    launch(Source(), sys.argv[1:])
