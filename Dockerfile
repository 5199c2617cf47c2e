# The server and its command line in one image. Build and run on the same Debian: the binary uses its C library.
#
#   docker build -t leasehold .
#   docker run --rm -p 8200:8200 leasehold                                    a dev server; its log shows the root token
#   docker run --rm -e VAULT_LOCAL_CONFIG='{…}' leasehold server              a server with that configuration
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# the dependencies alone first: this layer is kept while only our source changes
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
 && cargo build --locked --profile dist && rm -r src
COPY src src
# what `vault version -format=json` says of this build; empty is allowed
ARG LEASEHOLD_COMMIT LEASEHOLD_BUILD_DATE
RUN touch src/main.rs src/lib.rs && cargo build --locked --profile dist

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 1000 leasehold && useradd --uid 100 --gid leasehold --create-home --home-dir /home/leasehold leasehold \
 && install -d -o leasehold -g leasehold -m 0700 /var/lib/leasehold
COPY --from=build /build/target/dist/leasehold /usr/local/bin/leasehold
COPY --chmod=0755 deploy/entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN ln -s leasehold /usr/local/bin/vault
USER leasehold
ENV HOME=/home/leasehold VAULT_DEV_LISTEN_ADDRESS=0.0.0.0:8200
EXPOSE 8200
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["server", "-dev"]
