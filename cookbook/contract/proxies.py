"""A shared cache before a service: nginx, with a configuration of its own.

It keeps what answers allow it to keep, and says in `X-Cache` what it did
(`MISS`, `HIT`, `STALE`, ...). It knows no rule about `Authorization` or
cookies, and gives an answer that says nothing a minute: what must not be
kept has to say so.
"""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from cookbook.contract.exchanges import note_exchange
from cookbook.contract.processes import (
    Launch,
    LaunchError,
    launch_plainly,
    reserve_port,
    wait_until,
)
from cookbook.contract.servers import StartError, with_log
from cookbook.contract.service import (
    in_memory,
    make_client,
    temporary_folder,
)

PROGRAM = "nginx"
START_SECONDS = 20.0
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
"""Where nginx lies and a path does not lead."""

CONFIGURATION = """
daemon off;
worker_processes 1;
pid nginx.pid;
{user}
events {{}}
http {{
  access_log off;
  server_tokens off;
  client_body_temp_path temporary/body;
  fastcgi_temp_path temporary/fastcgi;
  proxy_temp_path temporary/proxy;
  scgi_temp_path temporary/scgi;
  uwsgi_temp_path temporary/uwsgi;
  proxy_cache_path kept keys_zone=kept:1m use_temp_path=off;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {url};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_cache kept;
      # An answer that says nothing is kept all the same, as in many places.
      proxy_cache_valid any 1m;
      proxy_cache_revalidate on;
      # `proxy_cache_use_stale updating` would do so without being allowed.
      proxy_cache_background_update on;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""


class SharedCache:
    """A cache that many clients share; `url` is where it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = make_client(url)

    def request(
        self, method: str, path: str, **options: Any
    ) -> httpx2.Response:
        """Send a request by way of the cache, and read the whole answer.

        `options` are those of `httpx2.Client.request`.
        """
        try:
            answer = self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            note_exchange(error)
            raise
        note_exchange(answer)
        return answer

    def close(self) -> None:
        """Close the connections to it."""
        self._client.close()


@contextlib.contextmanager
def shared_cache(url: str) -> Iterator[SharedCache]:
    """Put an empty shared cache before a service, for one test.

    Where nginx is not on the machine, the test is left as not checked.
    """
    program = find_nginx()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("cache-", in_memory()))
        reservation = stack.enter_context(reserve_port())
        port = reservation.getsockname()[1]
        (folder / "temporary").mkdir()
        (folder / "nginx.conf").write_text(configure(url, port))
        argv = [program, "-e", "stderr", "-p", str(folder)]
        launch = Launch(
            [*argv, "-c", str(folder / "nginx.conf")],
            dict(os.environ),
            folder,
            folder / "nginx.log",
        )
        process = launch_plainly(launch, None)
        stack.callback(process.close)
        stack.callback(process.kill)
        try:
            wait_until(lambda: takes_calls(port), process, START_SECONDS)
        except LaunchError as error:
            raise StartError(with_log(str(error), launch.log)) from None
        yield stack.enter_context(
            contextlib.closing(SharedCache(f"http://127.0.0.1:{port}"))
        )


def configure(url: str, port: int) -> str:
    """Write the configuration; paths in it are those of its folder."""
    # Else its worker would be a user who may not see the folder.
    user = "" if os.geteuid() else "user root;"
    return CONFIGURATION.format(url=url, port=port, user=user)


def takes_calls(port: int) -> bool:
    """Tell whether somebody listens; a request would fill the cache."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def find_nginx() -> str:
    """Find nginx, or leave the test; on a machine for CI it fails."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *PLACES))
    found = shutil.which(PROGRAM, path=path)
    if found is not None:
        return found
    text = f"not checked: needs {PROGRAM} on the path"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
