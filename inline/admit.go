package inline

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// admit has the firewalls of nftables that would drop what a device of ours brings or gets,
// docker's and ufw's for example, accept that as long as we are there. It looks once: one that is
// closed later stays so.
func (s *setup) admit(h netns.Hook, devices ...string) error {
	s.hooks = append(s.hooks, h)
	all, err := s.ns.Firewalls(h, DevicePrefix)
	if err != nil || len(all) == 0 {
		return nil // without nftables there is none
	}
	if s.Mark == "" {
		s.Mark = fmt.Sprintf("tcpmangle %s of process %d", strings.TrimSuffix(filepath.Base(s.file), ".json"), s.PID)
		if err := locked(s.save); err != nil {
			return err
		}
	}
	if err := s.ns.Admit(s.Mark, h, devices...); err != nil {
		return fmt.Errorf("let our devices pass the firewall: %w", err)
	}
	return nil
}
