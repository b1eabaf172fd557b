"""What requests-cache does over our backend, with a server of this process."""

import datetime
import http.server
import threading

import pytest

pytest.importorskip("requests_cache", reason="requests-cache is not installed")

from requests_cache import CachedSession

from fastcache.integrations.requests_cache import FastCache


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/there")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = b"\x00\xff" * 50_000 if self.path == "/large" else f"body of {self.path}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Set-Cookie", "a=b")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.url = f"http://127.0.0.1:{made.server_port}"
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def open_session(tmp_path):
    made = []

    def make(serializer=None, **settings):
        made.append(CachedSession(backend=FastCache(tmp_path / "http", serializer), **settings))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.mark.parametrize("serializer", [None, "json", "pickle"])
def test_a_response_is_asked_for_once_and_is_the_same(server, open_session, serializer):
    session, other = open_session(serializer), open_session(serializer)
    for path in ("/one", "/large"):
        first = session.get(server.url + path)
        again = other.get(server.url + path)
        assert (first.from_cache, again.from_cache) == (False, True)
        assert again.content == first.content
        assert again.headers == first.headers
        assert again.cookies.get_dict() == {"a": "b"}
    assert server.asked == ["/one", "/large"]
    assert session.cache.contains(url=server.url + "/one")
    assert sorted(session.cache.urls()) == [server.url + "/large", server.url + "/one"]


def test_redirects_lead_to_what_is_stored(server, open_session):
    session = open_session()
    assert session.get(server.url + "/moved").text == "body of /there"
    again = session.get(server.url + "/moved")
    assert again.from_cache
    assert again.text == "body of /there"
    assert len(session.cache.redirects) == 1
    session.cache.clear()
    assert len(session.cache.redirects) == 0


def test_what_has_expired_is_asked_for_again_and_removed_when_told(server, open_session):
    session = open_session(expire_after=datetime.timedelta(seconds=-1))
    session.get(server.url + "/one")
    assert not session.get(server.url + "/one").from_cache
    assert len(session.cache.responses) == 1
    session.cache.delete(expired=True)
    assert len(session.cache.responses) == 0
    session.get(server.url + "/two")
    session.cache.clear()
    assert len(session.cache.responses) == 0


def test_what_cannot_be_loaded_is_asked_for_again(server, open_session):
    session = open_session()
    key = session.get(server.url + "/one").cache_key
    session.cache.responses.cache[key] = ValueError("signed")
    with_other_secret = CachedSession(backend=FastCache(session.cache.db_path, secret="b" * 16))
    assert with_other_secret.get(server.url + "/one").text == "body of /one"
    with_other_secret.close()


def test_responses_are_stored_as_plain_data(server, open_session, monkeypatch, tmp_path):
    monkeypatch.delenv("FASTCACHE_SECRET", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    session = open_session()
    session.get(server.url + "/one")
    assert session.get(server.url + "/one").from_cache
    assert not (tmp_path / "home").exists()
