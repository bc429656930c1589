//go:build tools

// Package peers names the programs to build, so that `go mod tidy` keeps what they need.
package peers

import _ "github.com/ipfs/kubo/cmd/ipfs"
