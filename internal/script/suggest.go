package script

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// didYouMean completes a message about an unknown word with the known one it
// was probably meant to be, or with nothing.
func didYouMean(got string, known []string) string {
	if name := tomldoc.Closest(got, known); name != "" {
		return fmt.Sprintf("; did you mean %q?", name)
	}
	return ""
}
