"""The command line on a terminal: prompts that hide what is typed, colours, the newline after a field."""
import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

import servers

PATIENCE = 20  # seconds for one step; a debug build on busy cores is slow


class Terminal:
    """One call of the program with a pseudo-terminal as all its streams."""

    def __init__(self, server, home, *words, **env):
        self.master, slave = pty.openpty()
        self.shown = ""
        env = servers.clean_environment(str(home), VAULT_ADDR=server.url, **env)
        # a session of its own, whose terminal this is: then ^C at it is an interrupt
        self.child = subprocess.Popen([servers.binary(), *words], env=env, stdin=slave, stdout=slave, stderr=slave,
                                      start_new_session=True, preexec_fn=lambda: _make_controlling(0))
        os.close(slave)

    def until(self, text):
        """Reads on until `text` is shown."""
        end = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < end, "%r is not in %r" % (text, self.shown)
            if not self._read(0.2):
                break
        assert text in self.shown, self.shown
        return self

    def type(self, text):
        # what is typed before the terminal is silent would be shown, by any program
        end = time.monotonic() + PATIENCE
        while termios.tcgetattr(self.master)[3] & termios.ECHO:
            assert time.monotonic() < end, "the terminal still shows what is typed"
            time.sleep(0.01)
        os.write(self.master, text.encode())
        return self

    def end(self):
        """Reads to the end; the exit code."""
        while self._read(PATIENCE):
            pass
        return self.child.wait(PATIENCE)

    def shows_what_is_typed(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def _read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return self.child.poll() is None
        try:
            data = os.read(self.master, 4096)
        except OSError:  # the other side is closed
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.master)


def _make_controlling(fd):
    import fcntl
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="module")
def dev():
    with servers.Leasehold(dev=True) as dev:
        yield dev


@pytest.fixture
def terminal(dev, tmp_path):
    with contextlib.ExitStack() as stack:

        def call(*words, server=dev, **env):
            opened = Terminal(server, tmp_path, *words, **env)
            stack.callback(opened.close)
            return opened

        yield call


def test_a_token_is_asked_for_hidden_and_kept(dev, terminal, tmp_path):
    at = terminal("login").until("Token (will be hidden): ").type(dev.root + "\n")
    assert at.end() == 0
    before, _, after = at.shown.partition("Success! You are now authenticated.")
    assert dev.root not in before
    assert 'policies             ["root"]' in after
    kept = tmp_path / ".vault-token"
    assert kept.read_text() == dev.root
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_password_is_asked_for_hidden(dev, terminal):
    dev.call("POST", "sys/auth/userpass", {"type": "userpass"})
    dev.call("POST", "auth/userpass/users/ann", {"password": "typed-not-shown", "token_policies": "default"})
    at = terminal("login", "-method=userpass", "username=ann").until("Password (will be hidden): ").type("typed-not-shown\n")
    assert at.end() == 0
    assert "token_meta_username    ann" in at.shown
    assert "typed-not-shown" not in at.shown
    dev.call("DELETE", "sys/auth/userpass")


def test_an_interrupt_at_a_prompt_leaves_a_terminal_that_shows_what_is_typed(terminal, tmp_path):
    at = terminal("login").until("Token (will be hidden): ").type("half-a-tok")
    os.write(at.master, b"\x03")
    code = at.end()
    assert code in (-signal.SIGINT, 130, 2), code
    assert at.shows_what_is_typed()
    assert "half-a-tok" not in at.shown
    assert not (tmp_path / ".vault-token").exists()


def test_unseal_rekey_and_root_generation_ask_for_their_share_hidden(terminal):
    with servers.Leasehold() as server:
        server.initialise()
        key = server.unseal_key
        server.call("PUT", "sys/seal")
        at = terminal("operator", "unseal", server=server).until("Unseal Key (will be hidden): ").type(key + "\n")
        assert at.end() == 0
        assert re.search(r"Sealed +false", at.shown)
        assert key not in at.shown

        nonce = server.call("PUT", "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1})["nonce"]
        at = terminal("operator", "rekey", server=server)
        at.until("Rekey operation nonce: %s\nUnseal Key (will be hidden): " % nonce).type(key + "\n")
        assert at.end() == 0
        assert key not in at.shown
        key = re.search(r"^Key 1: (\S+)$", at.shown, re.M).group(1)

        begun = server.call("PUT", "sys/generate-root/attempt", {})
        at = terminal("operator", "generate-root", server=server)
        at.until("Operation nonce: %s\nUnseal Key (will be hidden): " % begun["nonce"]).type(key + "\n")
        assert at.end() == 0
        assert re.search(r"Complete +true\nEncoded Token +\S+", at.shown)
        assert key not in at.shown


def test_no_prompt_without_leave(dev, terminal):
    at = terminal("login", "-non-interactive")
    assert at.end() == 2
    assert "'token' not supplied and refusing to pull from stdin" in at.shown


def test_a_field_is_followed_by_a_newline_and_errors_are_red(dev, terminal):
    at = terminal("token", "lookup", "-field=display_name", VAULT_TOKEN=dev.root)
    assert at.end() == 0
    assert at.shown == "token\n"
    at = terminal("read", "nosuch/x", VAULT_TOKEN="wrong")
    assert at.end() == 2
    assert at.shown.startswith("\x1b[31mError reading nosuch/x: ")
    at = terminal("read", "nosuch/x", VAULT_TOKEN="wrong", VAULT_CLI_NO_COLOR="1")
    assert at.end() == 2
    assert "\x1b" not in at.shown
