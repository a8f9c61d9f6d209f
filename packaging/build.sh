#!/bin/sh
# Builds what is shipped: the static binary, and a deb and an rpm of it.
#
#	packaging/build.sh VERSION [FOLDER]    into FOLDER, dist if none is given
set -eu

version=$1
mkdir -p "${2:-dist}"
dist=$(cd "${2:-dist}" && pwd)
cd "$(dirname "$0")/.."

CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=$version" -o "$dist/tcpmangle" ./cmd/tcpmangle
for shell in bash fish zsh; do
	go run ./cmd/tcpmangle completion "$shell" >"$dist/completion.$shell"
done
export VERSION="$version" DIST="$dist"
ARCH=$(go env GOARCH)
export ARCH
for format in deb rpm; do
	GOOS='' GOARCH='' go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2 \
		package --config packaging/nfpm.yaml --packager "$format" --target "$dist"
done
