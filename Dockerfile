# fleetd and fleetctl, static, in an image without a shell, as a user who is not
# root. There is no Postgres in it: name one with FLEETD_DATABASE_URL, and the file
# of the key that secrets are sealed with by FLEETD_ENCRYPTION_KEY_FILE.
#
#   docker build --build-arg VERSION=v1.2.3 --tag fleetd .
#   docker run -p 8080:8080 -e FLEETD_DATABASE_URL=postgres://... fleetd
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY migrations migrations
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN go build -buildvcs=false -trimpath -ldflags "-s -w -X main.release=$VERSION" -o /out/ ./cmd/fleetd && \
    go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/ ./cmd/fleetctl && \
    mkdir /out/data

# Holds the certificates of the public authorities and a user nonroot, 65532.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/fleetd /out/fleetctl /usr/local/bin/
COPY --from=build --chown=65532:65532 /out/data /var/lib/fleetd
USER 65532:65532
ENV FLEETD_LISTEN=0.0.0.0:8080 \
    FLEETD_DATA_DIR=/var/lib/fleetd
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/fleetd"]
CMD ["serve"]
