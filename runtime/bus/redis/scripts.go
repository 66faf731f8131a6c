package redis

import (
	"context"
	_ "embed"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/prelude.lua
var prelude string

//go:embed lua/beat.lua
var beatLua string

//go:embed lua/release.lua
var releaseLua string

//go:embed lua/settle.lua
var settleLua string

//go:embed lua/move.lua
var moveLua string

//go:embed lua/add.lua
var addLua string

//go:embed lua/stats.lua
var statsLua string

//go:embed lua/left.lua
var leftLua string

//go:embed lua/requeue.lua
var requeueLua string

//go:embed lua/orphans.lua
var orphansLua string

//go:embed lua/expire.lua
var expireLua string

//go:embed lua/gather.lua
var gatherLua string

//go:embed lua/announce.lua
var announceLua string

//go:embed lua/list.lua
var listLua string

//go:embed lua/bury.lua
var buryLua string

// scripts are all that happens on the server in one step.
type scripts struct {
	beat, release, settle, move, add, stats, left, requeue, orphans, expire, gather, announce, list, buryAcked *redis.Script
}

func newScripts() scripts {
	script := func(body string) *redis.Script { return redis.NewScript(prelude + body) }
	return scripts{
		beat: script(beatLua), release: script(releaseLua), settle: script(settleLua), move: script(moveLua),
		add: script(addLua), stats: script(statsLua), left: script(leftLua), requeue: script(requeueLua), orphans: script(orphansLua),
		expire: script(expireLua), gather: script(gatherLua), announce: script(announceLua), list: script(listLua), buryAcked: script(buryLua),
	}
}

// run runs a script. Its first argument is the prefix of all keys; the one key
// that is named says in which slot they are.
func (b *Bus) run(ctx context.Context, s *redis.Script, args ...any) *redis.Cmd {
	return s.Run(ctx, b.client, []string{b.keys.version()}, append([]any{string(b.keys)}, args...)...)
}
