// Package ww holds what lies at the top of the project and is part of the
// binary.
package ww

import _ "embed"

// ComponentDockerfile builds the image of a built-in component from source.
//
//go:embed Dockerfile.component
var ComponentDockerfile []byte
