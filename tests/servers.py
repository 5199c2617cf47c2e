"""Servers for the tests: Leasehold itself, and moto as AWS. Each on a free port of the loopback, stopped by its pid.

LEASEHOLD       the binary under test (default: target/release/leasehold of this checkout)
LEASEHOLD_MOTO  base URL of a moto server that runs already; without it each `Moto` starts its own
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 60  # moto loads its managed policies; two cores may be busy
STOP_SECONDS = 45  # a server gives requests under way 30 s


def binary():
    path = os.environ.get("LEASEHOLD") or os.path.join(ROOT, "target", "release", "leasehold")
    if not os.access(path, os.X_OK):
        sys.exit("no server at %s: build it with `cargo build --release`, or set LEASEHOLD" % path)
    return os.path.abspath(path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def clean_environment(home, **more):
    """Nothing of the caller's: no token, no address, above all no key of a real AWS account."""
    env = {k: os.environ[k] for k in ("PATH", "LANG", "LC_ALL", "TMPDIR", "RUST_BACKTRACE") if k in os.environ}
    env.update(HOME=home, AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull,
               AWS_SHARED_CREDENTIALS_FILE=os.devnull, **more)
    return env


def http(method, url, body=None, token=None, content_type="application/json", timeout=30):
    """(status, JSON or None); an error status is an answer, not an exception."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": content_type})
    if token:
        request.add_header("X-Vault-Token", token)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, None


class Process:
    """A program that listens; its output goes to a file, and to the caller only when it does not come up."""

    def __init__(self, args, env, probe, log):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                probe()
                return
            except OSError as error:
                if self.child.poll() is not None or time.monotonic() > end:
                    self.stop()
                    with open(log, "rb") as f:
                        tail = f.read()[-4000:].decode("utf-8", "replace")
                    raise RuntimeError("%s did not come up (%s):\n%s" % (os.path.basename(args[0]), error, tail)) from None
                time.sleep(0.05)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise RuntimeError("pid %d did not stop within %d s of SIGTERM" % (self.child.pid, STOP_SECONDS)) from None


class Leasehold:
    """A server. With `dev`, a dev server whose root token id is `root`; else one that is not initialised yet."""

    def __init__(self, dev=False, args=(), config=None, env=None):
        self.folder = tempfile.TemporaryDirectory(prefix="leasehold-")
        self.home = self.folder.name
        self.log = os.path.join(self.home, "server.log")
        self.root = self.unseal_key = None
        port = free_port()
        self.url = "http://127.0.0.1:%d" % port
        if dev:
            self.root = "root-of-the-tests"
            flags = ["-dev", "-dev-no-store-token", "-dev-root-token-id=" + self.root, "-dev-listen-address=127.0.0.1:%d" % port]
        else:
            flags = ["-config=" + self._write_config(port, config or {})]
        self.process = Process([binary(), "server", *flags, *args], clean_environment(self.home, **(env or {})),
                               lambda: http("GET", self.url + "/v1/sys/seal-status", timeout=5), self.log)
        if dev:
            self.unseal_key = self.told("Unseal Key: ")

    def _write_config(self, port, more):
        config = {
            "storage": {"inmem": {}},
            "listener": {"tcp": {"address": "127.0.0.1:%d" % port, "tls_disable": True}},
            "disable_mlock": True,
            **more,
        }
        path = os.path.join(self.home, "config.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        return path

    def told(self, front):
        """The rest of the line of the server's output that starts so."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with open(self.log, encoding="utf-8") as f:
                for line in f:
                    if line.startswith(front) and line.endswith("\n"):
                        return line[len(front):].strip()
            time.sleep(0.05)
        raise RuntimeError("the server has not said %r" % front)

    def call(self, method, path, body=None, token=None, expect=(200, 204)):
        """The reply of a request as root; another status than expected is an error of the test."""
        status, reply = http(method, "%s/v1/%s" % (self.url, path), body, token or self.root)
        if status not in expect:
            raise AssertionError("%s %s answered %d: %s" % (method, path, status, (reply or {}).get("errors")))
        return reply

    def initialise(self, shares=1, threshold=1):
        reply = self.call("PUT", "sys/init", {"secret_shares": shares, "secret_threshold": threshold})
        self.root, self.unseal_key = reply["root_token"], reply["keys_base64"][0]
        for key in reply["keys_base64"][:threshold]:
            self.call("PUT", "sys/unseal", {"key": key})
        return self

    def stop(self):
        self.process.stop()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Moto:
    """moto: AWS in a process. `checking(True)` makes it verify signatures and the action part of policies."""

    def __init__(self):
        self.process = self.folder = None
        self.url = os.environ.get("LEASEHOLD_MOTO", "").rstrip("/")
        if not self.url:
            self.folder = tempfile.TemporaryDirectory(prefix="moto-")
            port = free_port()
            self.url = "http://127.0.0.1:%d" % port
            program = os.path.join(os.path.dirname(sys.executable), "moto_server")
            env = clean_environment(self.folder.name, MOTO_IAM_LOAD_MANAGED_POLICIES="true")
            self.process = Process([program, "-H", "127.0.0.1", "-p", str(port)], env, self._probe,
                                   os.path.join(self.folder.name, "moto.log"))

    def _probe(self):
        http("GET", self.url + "/moto-api/data.json", timeout=5)

    def checking(self, on):
        status, _ = http("POST", self.url + "/moto-api/reset-auth", b"0" if on else b"inf", content_type="text/plain")
        assert status == 200, status

    def reset(self):
        """No users, no buckets, nothing checked."""
        self.checking(False)
        status, _ = http("POST", self.url + "/moto-api/reset", b"")
        assert status == 200, status

    def stop(self):
        if self.process:
            self.process.stop()
            self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
