# syntax=docker/dockerfile:1.9
# Refrain, alone. From the repository's root:
#   docker build -f deployments/images/refrain.Dockerfile -t refrain:0.1.0 .

# The toolchain is that of rust-toolchain.toml; its C library is the runtime's, so both say bookworm.
FROM rust:1.95.0-slim-bookworm AS build
# For the parts in C: the cryptography of TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential=12.9 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches are the builder's, not the image's; what was built is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p refrain \
    && install -D -m 0755 target/release/refrain /out/refrain
# What is written goes here: the embedded store, where one is used.
RUN install -d -o 65532 -g 65532 -m 0700 /state

# No shell, no package manager: the C library, the certificate roots and a user. A release gives this image by digest.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="refrain" \
      org.opencontainers.image.description="A sidecar proxy that makes keyed requests happen once" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/refrain /usr/local/bin/refrain
COPY --from=build --chown=65532:65532 /state /var/lib/refrain
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# `embedded:` without a path is kept here: a volume, for the root file system may be read-only.
ENV STATE_DIRECTORY=/var/lib/refrain
VOLUME ["/var/lib/refrain"]
# It drains on SIGTERM; give it longer than limits.drain (30s).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/local/bin/refrain", "ready"]
ENTRYPOINT ["/usr/local/bin/refrain"]
CMD ["run"]
