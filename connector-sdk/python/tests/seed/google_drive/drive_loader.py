"""A loader of somebody else's: it knows nothing of connectors, and brings its own HTTP and its own errors."""

import asyncio
import json
import urllib.error
import urllib.request


class DriveError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"drive says {status_code}")
        self.status_code = status_code


class DriveLoader:
    def __init__(self, connector) -> None:
        self.connector = connector

    async def list_files(self, cursor=None):
        token = await self.connector.oauth.create_token()
        return await asyncio.to_thread(self._read, token, cursor)

    def _read(self, token, cursor):
        address = f"{self.connector.settings.drive}/files" + (f"?pageToken={cursor}" if cursor else "")
        request = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                page = json.load(response)
        except urllib.error.HTTPError as error:
            raise DriveError(error.code) from None
        return {"items": page["files"], "next_cursor": page.get("nextPageToken")}
