//go:build !unix

package progress

import "os"

// resumed never tells of anything: there is no suspending here.
func resumed() (<-chan os.Signal, func()) { return nil, func() {} }
