// Package dockerx talks to a Docker Engine. It is the only package that knows
// the engine's API and imports its client, so that what the rest of the
// project sees of an engine is deploy.Driver: compose types in, observed state
// and classified errors out.
//
// Everything goes through the API that was negotiated with the engine. Where an
// engine is too old for a key of the compose file, the key is refused by name;
// none is dropped.
package dockerx
