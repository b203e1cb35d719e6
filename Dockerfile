# One image for every role: docker run dfs coordinator, docker run dfs datanode, docker run dfs status …
# The bases are arguments, so that a mirror or an image of your own can stand in for them.
ARG BUILD_IMAGE=swift:6.3-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
COPY Scripts/setup Scripts/setup
RUN Scripts/setup
# The dependencies change less often than the sources.
COPY Package.swift ./
RUN swift package resolve || true
COPY Sources Sources
COPY Tests Tests
# Swift's own libraries go into the binary: the image needs no toolchain.
RUN swift build -c release --product dfsd --static-swift-stdlib \
  && install -D "$(swift build -c release --static-swift-stdlib --show-bin-path)/dfsd" /out/usr/bin/dfsd

FROM ${RUN_IMAGE} AS run
COPY Scripts/setup /tmp/setup
RUN /tmp/setup --runtime && rm -rf /tmp/setup /var/lib/apt/lists/* \
  && groupadd --system --gid 7400 dfs \
  && useradd --system --uid 7400 --gid dfs --home-dir /data --no-create-home --shell /usr/sbin/nologin dfs \
  && install -d -o dfs -g dfs -m 0750 /data
COPY --from=build /out/ /
COPY cluster.example.yaml /usr/share/doc/dfs/
USER dfs
WORKDIR /data
VOLUME /data
EXPOSE 7400 7401
# The process of this container serves, as its own DFS_COORDINATOR_LISTEN or DFS_DATANODE_LISTEN says where (7400 and 7401 by
# default). A flag like --listen is not seen: then name the address, as in `dfsd health 127.0.0.1:7411`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["dfsd", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dfsd"]
CMD ["--help"]
