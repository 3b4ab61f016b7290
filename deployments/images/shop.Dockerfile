# syntax=docker/dockerfile:1.9
# The shop's services, one program. From the repository's root:
#   docker build -f deployments/images/shop.Dockerfile -t shop:0.1.0 .
# A container is one service: its arguments are `service NAME --listen ADDR`, and DATABASE_URL says where its database is.

FROM rust:1.95.0-slim-bookworm AS build
# For the parts in C: SQLite, and the cryptography of TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential=12.9 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p shop \
    && install -D -m 0755 target/release/shop /out/shop
RUN install -d -o 65532 -g 65532 -m 0700 /state

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="shop" \
      org.opencontainers.image.description="The services of Refrain's example shop" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/shop /usr/local/bin/shop
COPY --from=build --chown=65532:65532 /state /var/lib/shop
USER 65532:65532
# For services whose database is a SQLite file.
VOLUME ["/var/lib/shop"]
STOPSIGNAL SIGTERM
# No HEALTHCHECK here: which port it is depends on the service. Whoever runs it says `shop health ADDR`.
ENTRYPOINT ["/usr/local/bin/shop"]
