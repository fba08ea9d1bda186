from drive_loader import DriveLoader
from superfasttt_connector import BaseConnector, DocumentEnvelope, run


class ConnecteurGoogleDrive(BaseConnector):

    async def connect(self):
        return await self.oauth.create_token()

    async def refresh(self):
        return await self.oauth.refresh_token()

    async def pull(self, cursor=None):
        return await self.loader.list_files(cursor)

    async def normalize(self, raw_item):
        return DocumentEnvelope(
            id=raw_item["id"],
            title=raw_item["name"],
            content=None,
            source="google-drive",
            url=raw_item["webViewLink"],
            metadata=raw_item
        )

    async def sync(self):
        await self.run_incremental_sync()


if __name__ == "__main__":
    run(ConnecteurGoogleDrive, loader=DriveLoader)
