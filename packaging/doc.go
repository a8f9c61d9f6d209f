// Package packaging has the tests of what is shipped: that packages hold what they should, that
// their scripts, the unit and the advice of README.md do what they say, and that the workflow runs.
//
// What changes a machine is tried on one that is thrown away: this one's files under an overlay, in
// namespaces of its own, with a systemd as the first process. It needs root, systemd and the packages
// of build.sh, in the folder that $TCPMANGLE_PACKAGES names.
package packaging
