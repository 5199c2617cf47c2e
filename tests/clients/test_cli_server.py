"""`server` as a process: what it says at its start and end, and what it leaves alone. And no secret in any transcript."""
import glob
import os
import re
import signal
import socket
import ssl
import subprocess

import pytest

import servers

GOLDEN = os.path.join(servers.ROOT, "tests", "golden")
# commands whose business it is to print a token, or to print what they were given
PRINTS_TOKENS = re.compile(
    r"vault (login|token (create|lookup|renew)|print token|unwrap|operator (init|generate-root)|write auth/\S*login)"
    r"|wrap-ttl|WRAP_TTL|-field=(token|wrapping_token)|auth/token/(create|lookup)")
TOKEN = re.compile(r"<token:hv[sb]>|\$\{F?ROOT\}|\bhv[sb]\.[A-Za-z0-9]")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_a_line_and_exit_code_0(number):
    server = servers.Leasehold(dev=True)
    try:
        server.process.child.send_signal(number)
        assert server.process.child.wait(servers.STOP_SECONDS) == 0
        assert server.told("==> Vault shutdown triggered") == ""
    finally:
        server.stop()


def test_a_port_in_use_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        done = subprocess.run([servers.binary(), "server", "-dev", "-dev-listen-address=" + address], stdin=subprocess.DEVNULL,
                              env=servers.clean_environment(str(tmp_path)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    want = "Error initializing listener of type tcp: listen tcp %s: bind: address already in use" % address
    assert want in done.stderr.splitlines(), done.stderr


def test_only_a_dev_server_keeps_its_token_for_the_command_line(tmp_path):
    with servers.Leasehold() as server:
        server.initialise()
        assert not os.path.exists(os.path.join(server.home, ".vault-token"))
    port = servers.free_port()
    env = servers.clean_environment(str(tmp_path))
    url = "http://127.0.0.1:%d" % port
    process = servers.Process([servers.binary(), "server", "-dev", "-dev-listen-address=127.0.0.1:%d" % port], env,
                              lambda: servers.http("GET", url + "/v1/sys/health", timeout=5), str(tmp_path / "log"))
    try:
        kept = tmp_path / ".vault-token"
        while not kept.exists():
            assert process.child.poll() is None
        status, _ = servers.http("GET", url + "/v1/auth/token/lookup-self", token=kept.read_text())
        assert status == 200
        assert kept.stat().st_mode & 0o777 == 0o600
    finally:
        process.stop()


def test_no_command_prints_a_token_but_those_whose_result_it_is():
    found = []
    for path in sorted(glob.glob(os.path.join(GOLDEN, "cli", "*.txt")) + glob.glob(os.path.join(GOLDEN, "more", "*.txt"))):
        with open(path, encoding="utf-8") as f:
            blocks = re.split(r"(?m)^\$ ", f.read())[1:]
        assert blocks, path
        for block in blocks:
            command, _, output = block.partition("\n--- exit ")
            if TOKEN.search(output) and not PRINTS_TOKENS.search(command):
                found.append("%s: $ %s" % (os.path.basename(path), command))
    assert found == []


def test_a_dev_server_with_tls_is_believed_by_whoever_has_its_authority(tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir()
    port = servers.free_port()
    env = servers.clean_environment(str(tmp_path))
    url = "https://127.0.0.1:%d" % port
    flags = ["-dev-tls", "-dev-tls-cert-dir=%s" % folder, "-dev-tls-san=vault.test", "-dev-root-token-id=r", "-dev-no-store-token",
             "-dev-listen-address=127.0.0.1:%d" % port]

    def probe():
        with socket.create_connection(("127.0.0.1", port), 5):
            pass

    process = servers.Process([servers.binary(), "server", *flags], env, probe, str(tmp_path / "log"))
    try:
        assert sorted(file.name for file in folder.iterdir()) == ["vault-ca.pem", "vault-cert.pem", "vault-key.pem"]
        assert (folder / "vault-key.pem").stat().st_mode & 0o777 == 0o600
        context = ssl.create_default_context(cafile=str(folder / "vault-ca.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for name in ("vault.test", "localhost", "127.0.0.1"):
            with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
                assert tls.version() == "TLSv1.3"
        with socket.create_connection(("127.0.0.1", port), 5) as raw, pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(raw, server_hostname="other.test")
        while "Root Token: r\n" not in (tmp_path / "log").read_text():
            assert process.child.poll() is None
        told = (tmp_path / "log").read_text()
        assert "    $ export VAULT_ADDR='%s'\n    $ export VAULT_CACERT='%s'\n" % (url, folder / "vault-ca.pem") in told
        done = subprocess.run([servers.binary(), "status", "-field=sealed"], env={
            **env, "VAULT_ADDR": url, "VAULT_CACERT": str(folder / "vault-ca.pem")}, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "false"), done.stderr
    finally:
        process.stop()
