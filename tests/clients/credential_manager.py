"""AWS access for an application, lent by Leasehold: the application asks for an S3 client and gets one that works.

The manager logs in with AppRole, borrows a key of one AWS role, keeps it until shortly before its end, and keeps its own
token alive from a thread in the background. A token cannot be renewed for ever: when a renewal brings less than half of
what a new login would, the manager logs in again. With a token its leases end, so a new token means a new key; the old
one stays in force until the new one is in place.
"""
import logging
import os
import threading
import time

import boto3
import hvac

log = logging.getLogger(__name__)

# A key is replaced this long before its end, so that a long upload does not lose it half-way ...
MARGIN_SECONDS = 300
# ... but a key that lives shorter is still used for this part of its life.
MARGIN_PART = 0.25
# How long to wait after the server could not be reached.
RETRY_SECONDS = 1.0


class CredentialManager:
    """Thread-safe; `close` gives the token, and with it the key, back at once."""

    def __init__(self, address, role_id, secret_id, aws_role, aws_mount="aws"):
        self.aws_role = aws_role
        self.logins = 0
        self.renewals = 0
        self._address, self._role_id, self._secret_id, self._aws_mount = address, role_id, secret_id, aws_mount
        self._lock = threading.Lock()  # guards all below; held while the server is asked, so that one thread asks
        self._vault = None
        self._token_seconds = 0
        self._key = None
        self._key_until = 0.0
        self._closed = threading.Event()
        with self._lock:
            self._log_in()
        self._keeper = threading.Thread(target=self._keep_token, name="token-keeper", daemon=True)
        self._keeper.start()

    @classmethod
    def from_environment(cls):
        env = os.environ
        return cls(env["VAULT_ADDR"], env["VAULT_ROLE_ID"], env["VAULT_SECRET_ID"], env["AWS_ROLE"])

    def session(self):
        """A boto3 session with a key that is valid now."""
        with self._lock:
            if self._key is None or time.monotonic() >= self._key_until:
                self._borrow()
            key = dict(self._key)
        return boto3.Session(**key)

    def s3(self):
        return self.session().client("s3")

    def is_authenticated(self):
        with self._lock:
            return self._vault.is_authenticated()

    def close(self):
        self._closed.set()
        self._keeper.join()
        with self._lock:
            self._vault.auth.token.revoke_self()

    def _log_in(self):
        vault = hvac.Client(url=self._address)
        auth = vault.auth.approle.login(role_id=self._role_id, secret_id=self._secret_id)["auth"]
        self._vault, self._token_seconds = vault, auth["lease_duration"]
        self._key = None
        self.logins += 1
        log.info("logged in, the token lives %d s", self._token_seconds)

    def _borrow(self):
        reply = self._vault.secrets.aws.generate_credentials(name=self.aws_role, mount_point=self._aws_mount)
        data, seconds = reply["data"], reply["lease_duration"]
        self._key = {
            "aws_access_key_id": data["access_key"],
            "aws_secret_access_key": data["secret_key"],
            "aws_session_token": data.get("security_token"),
        }
        self._key_until = time.monotonic() + seconds - min(MARGIN_SECONDS, seconds * MARGIN_PART)
        log.info("borrowed a key of role %s for %d s", self.aws_role, seconds)

    def _keep_token(self):
        wait = self._token_seconds / 3
        while not self._closed.wait(wait):
            try:
                with self._lock:
                    wait = self._renew_or_log_in() / 3
            except (hvac.exceptions.VaultError, OSError) as error:
                # the next round tries again; until the token's end nobody has noticed
                log.warning("the token could not be kept: %s", type(error).__name__)
                wait = RETRY_SECONDS

    def _renew_or_log_in(self):
        """Seconds the token lives from now."""
        try:
            left = self._vault.auth.token.renew_self()["auth"]["lease_duration"]
        except (hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest):
            left = 0  # ended, revoked, or not renewable
        if left >= self._token_seconds / 2:
            self.renewals += 1
            log.info("renewed the token, it lives %d s", left)
            return left
        self._log_in()
        return self._token_seconds
