"""A web application with files in S3. It knows nothing of tokens and leases: it asks the manager for an S3 client.

VAULT_ADDR, VAULT_ROLE_ID, VAULT_SECRET_ID, AWS_ROLE and S3_BUCKET say where and who; PORT where to listen.
"""
import logging
import os

from flask import Flask, jsonify, request

from credential_manager import CredentialManager

PAGE = 100  # files in one listing


def create_app(credentials, bucket):
    app = Flask(__name__)

    @app.get("/health")
    def health():
        return jsonify(status="healthy", vault_authenticated=credentials.is_authenticated(), aws_role=credentials.aws_role,
                       logins=credentials.logins, renewals=credentials.renewals)

    @app.get("/files")
    def list_files():
        page = credentials.s3().list_objects_v2(Bucket=bucket, MaxKeys=PAGE)
        files = [{"name": o["Key"], "size": o["Size"], "last_modified": o["LastModified"].isoformat()} for o in page.get("Contents", [])]
        return jsonify(status="success", files=files, count=len(files))

    @app.post("/files")
    def upload_file():
        file = request.files.get("file")
        if file is None or not file.filename:
            return jsonify(status="error", message="no file in the field `file`"), 400
        extra = {"ContentType": file.content_type} if file.content_type else None
        credentials.s3().upload_fileobj(file, bucket, "uploads/" + file.filename, ExtraArgs=extra)
        return jsonify(status="success", name="uploads/" + file.filename), 201

    return app


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("credential_manager").setLevel(logging.INFO)
    manager = CredentialManager.from_environment()
    create_app(manager, os.environ["S3_BUCKET"]).run(host="127.0.0.1", port=int(os.environ.get("PORT", "5000")), threaded=True)
