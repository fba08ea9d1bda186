"""The first example that there was, as it was written, through a real connectord: its access token ends in mid-pull."""

from __future__ import annotations

import http.cookiejar
import shutil
import urllib.request
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import server
import web

SEED = Path(__file__).parent / "seed" / "google_drive"
FILES_PER_PAGE = 3
PAGES = 4


class Google:
    """Drive and its token endpoint. Each access token is good for three pages, as if it had ended in the middle."""

    def __init__(self) -> None:
        self.tokens = 0
        self.left = 0
        self.grants: list[str] = []
        self.pages: list[tuple[str, int]] = []

    def answer(self, request: web.Request) -> web.Answer:
        if request.path == "/authorize":
            query = urlencode({"code": "the-code", "state": request.query["state"]})
            return web.Answer(302, headers={"location": f"{request.query['redirect_uri']}?{query}"})
        if request.path == "/token":
            return self.token(dict(parse_qsl(request.body.decode())))
        return self.files(request)

    def token(self, form: dict[str, str]) -> web.Answer:
        self.grants.append(form["grant_type"])
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != "rt-very-secret":
            return web.Answer(400, {"error": "invalid_grant"})
        self.tokens += 1
        self.left = 3
        answer = {"access_token": f"at-very-secret-{self.tokens}", "token_type": "Bearer", "expires_in": 3600}
        return web.Answer(200, {**answer, "refresh_token": "rt-very-secret"})

    def files(self, request: web.Request) -> web.Answer:
        page = int(request.query.get("pageToken", "1"))
        current = f"Bearer at-very-secret-{self.tokens}"
        if request.headers.get("authorization") != current or self.left == 0:
            self.pages.append(("refused", page))
            return web.Answer(401, {"error": "the token has ended"})
        self.left -= 1
        self.pages.append(("given", page))
        first = (page - 1) * FILES_PER_PAGE
        files = [
            {"id": f"f{number}", "name": f"File {number}", "webViewLink": f"https://drive.example/{number}", "size": number}
            for number in range(first, first + FILES_PER_PAGE)
        ]
        return web.Answer(200, {"files": files, **({"nextPageToken": str(page + 1)} if page < PAGES else {})})


def manifest(url: str) -> dict[str, object]:
    """The manifest that goes with the example, and where this provider is."""
    return {
        "id": "google-drive",
        "name": "Google Drive",
        "description": "Synchronisation fichiers et dossiers",
        "auth": {
            "type": "oauth2",
            "scopes": ["https://www.googleapis.com/auth/drive.readonly"],
            "unlisted_scopes": ["https://www.googleapis.com/auth/drive.readonly"],
            "authorization_url": f"{url}/authorize",
            "token_url": f"{url}/token",
        },
        "sync": {"mode": "incremental", "frequency": "15m"},
        "permissions": ["integrations.read", "integrations.manage"],
        "settings": {"type": "object", "properties": {"drive": {"type": "string", "default": url}}},
    }


def test_the_example_runs_as_written(connectord: server.Server) -> None:
    google = Google()
    with web.web(google.answer) as provider:
        connectord.add("google-drive", manifest(provider.url), SEED / "connector.py")
        shutil.copy(SEED / "drive_loader.py", connectord.connectors / "google-drive")
        connectord.start()
        connectord.ctl(
            "oauth-apps", "create", "google-drive", "--client-id", "app", "--client-secret-file", "-", stdin="app-very-secret"
        )
        connectord.ctl("connections", "create", "--connector", "google-drive", "--name", "drive")
        [started] = connectord.ctl("credentials", "connect", "drive", "--no-browser", "--no-wait")
        # A person's browser: it keeps cookies, and goes where it is sent.
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        with browser.open(started["authorizationUrl"], timeout=30) as page:
            assert b'data-page="connected"' in page.read()
        [run] = connectord.ctl("sync", "drive", "--wait")

        documents = connectord.documents("drive")
        assert run["state"] == "STATE_SUCCEEDED", run
        assert sorted(documents) == sorted(f"f{number}" for number in range(PAGES * FILES_PER_PAGE))
        assert documents["f7"]["title"] == "File 7"
        assert documents["f7"]["url"] == "https://drive.example/7"
        assert documents["f7"]["source"] == "google-drive"
        assert documents["f7"]["metadata"]["size"] == 7
        assert documents["f7"]["permissions"] == {"visibility": "private"}
        # The token ended after the second page; the pull went on behind the last checkpoint and not from the beginning.
        given = [page for what, page in google.pages if what == "given"]
        assert given[:5] == [1, 1, 2, 3, 4], f"one for the connection's test: {google.pages}"
        assert ("refused", 3) in google.pages
        assert google.grants[:2] == ["authorization_code", "refresh_token"], google.grants
        log = connectord.log.read_text()
        assert "very-secret" not in log, log
