package compose

import "github.com/compose-spec/compose-go/v2/types"

// EffectHash is the digest of what in a service's configuration has an effect
// on its containers. Compose's digest also changes with keys that speak only to
// tools: adding `develop` or `attach` needn't make a container anew.
func EffectHash(s types.ServiceConfig) (string, error) {
	s.Develop = nil
	s.Attach = nil
	s.PostStart = nil
	s.PreStop = nil
	return Hash(s)
}
