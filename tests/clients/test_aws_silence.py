"""STS and EC2 take a connection and never answer: two hundred logins of each kind end in time with their code, and delay nobody.
On a real clock, and the whole server; tests/it/auth_aws/silence.rs has it to the millisecond."""
import concurrent.futures
import socket
import threading
import time

import pytest

import servers
from conftest import ACCOUNT, REGION
from instance import Metadata, Notary
from test_aws_auth import presign_or_sign

LOGINS = 200
NO_DELAY = 2.0  # seconds; two cores may be busy with four hundred clients


class Silent:
    """Accepts whoever comes, reads, says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.connections.append(self.listener.accept()[0])
            except OSError:
                return

    def stop(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def silent():
    made = Silent()
    yield made
    made.stop()


def test_silence_ends_logins_in_time_and_delays_nobody(server, account, silent):
    notary, instance = Notary(), "i-0123456789abcdef0"
    for path, endpoints in (("of-sts", {"sts_endpoint": silent.url}), ("of-ec2", {"sts_endpoint": account.url, "endpoint": silent.url})):
        server.call("POST", "sys/auth/" + path, {"type": "aws"})
        server.call("POST", "auth/%s/config/client" % path, {
            "access_key": "unchecked", "secret_key": "unchecked", "sts_region": REGION, "iam_endpoint": account.url, **endpoints})
    server.call("POST", "auth/of-sts/role/app", {
        "bound_iam_principal_arn": "arn:aws:iam::%s:user/app" % ACCOUNT, "resolve_aws_unique_ids": False})
    server.call("POST", "auth/of-ec2/config/certificate/test", {"aws_public_cert": notary.pem})
    server.call("POST", "auth/of-ec2/role/web", {"auth_type": "ec2", "bound_account_id": ACCOUNT})
    with Metadata(notary, instance, "ami-1", ACCOUNT, REGION) as metadata:
        pkcs7 = metadata.pkcs7
    signed = presign_or_sign(("AKIAUNCHECKED", "unchecked", None), REGION, False, None)

    def log_in(number):
        if number % 2:
            path, body = "of-sts", {**signed, "role": "app"}
        else:
            path, body = "of-ec2", {"role": "web", "pkcs7": pkcs7, "nonce": "nonce-%d" % number}
        began = time.monotonic()
        status, reply = servers.http("POST", "%s/v1/auth/%s/login" % (server.url, path), body, timeout=60)
        return path, status, reply, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(2 * LOGINS) as pool:
        running = [pool.submit(log_in, number) for number in range(2 * LOGINS)]
        # all of the relayed ones, and the one call that the others wait for
        end = time.monotonic() + 8
        while len(silent.connections) <= LOGINS and time.monotonic() < end:
            time.sleep(0.01)
        assert len(silent.connections) > LOGINS
        waits = []
        while not any(future.done() for future in running):
            began = time.monotonic()
            assert servers.http("POST", server.url + "/v1/auth/token/create", {"ttl": "1m"}, token=server.root)[0] == 200
            assert servers.http("GET", server.url + "/v1/auth/of-sts/role/app", token=server.root)[0] == 200
            waits.append(time.monotonic() - began)
        ended = [future.result() for future in running]
    # one call to EC2 at a time, of at most three seconds; not one more for each who waits
    assert len(silent.connections) < LOGINS * 2
    assert waits and max(waits) < NO_DELAY, (len(waits), max(waits))
    codes = {"of-sts": ("[sts_unreachable] ", 8), "of-ec2": ("[ec2_unreachable] ", 10)}
    for path, status, reply, seconds in ended:
        code, longest = codes[path]
        assert status == 400 and reply["errors"][1].startswith(code), reply
        assert seconds < longest + NO_DELAY, (path, seconds)
    print("others waited %.0f ms at most in %d pairs; logins took %.1f to %.1f s"
          % (1000 * max(waits), len(waits), min(e[3] for e in ended), max(e[3] for e in ended)))
