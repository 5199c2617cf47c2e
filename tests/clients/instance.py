"""An instance of EC2 as its programs see it: instance metadata on the loopback (IMDSv2), with a document that is signed by a key
made for the test, whose certificate is to be registered with the server."""
import base64
import datetime
import http.server
import json
import secrets
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID


class Notary:
    """Signs documents as AWS does with RSA of 2048 bits."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A stand-in for AWS")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        self.certificate = builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def pkcs7(self, document):
        """As `instance-identity/rsa2048` gives it: base64 in lines, without the lines of PEM."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(document.encode())
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCerts, pkcs7.PKCS7Options.NoCapabilities]
        return base64.encodebytes(builder.sign(serialization.Encoding.DER, options)).decode()

    def signature(self, document):
        return base64.b64encode(self.key.sign(document.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


TTL = "X-aws-ec2-metadata-token-ttl-seconds"


class Metadata:
    """The metadata service of one instance. Without a token of a PUT before it answers 401, as IMDSv2 does."""

    def __init__(self, notary, instance_id, image_id, account, region, pending="2026-01-01T00:00:00Z"):
        self.document = json.dumps({
            "accountId": account, "architecture": "x86_64", "availabilityZone": region + "a", "imageId": image_id,
            "instanceId": instance_id, "instanceType": "t3.micro", "pendingTime": pending, "region": region,
            "version": "2017-09-30",
        }, indent=2)
        self.pkcs7 = notary.pkcs7(self.document)
        self.signature = notary.signature(self.document)
        self.requests = []
        tokens, served = set(), self
        paths = {"document": self.document, "pkcs7": self.pkcs7, "rsa2048": self.pkcs7, "signature": self.signature}

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, text, headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_PUT(self):
                served.requests.append(("PUT", self.path))
                lasting = self.headers.get(TTL)
                if self.path != "/latest/api/token" or lasting is None:
                    return self.answer(400, "")
                token = secrets.token_urlsafe(24)
                tokens.add(token)
                self.answer(200, token, [(TTL, lasting)])

            def do_GET(self):
                served.requests.append(("GET", self.path))
                if self.headers.get("X-aws-ec2-metadata-token") not in tokens:
                    return self.answer(401, "")
                folder, _, name = self.path.rpartition("/")
                if folder != "/latest/dynamic/instance-identity" or name not in paths:
                    return self.answer(404, "")
                self.answer(200, paths[name])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
