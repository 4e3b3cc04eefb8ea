package redislist

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	_ "embed"
	"encoding/hex"
)

//go:embed scripts/prelude.lua
var preludeLua string

//go:embed scripts/take.lua
var takeLua string

//go:embed scripts/renew.lua
var renewLua string

//go:embed scripts/giveback.lua
var giveBackLua string

//go:embed scripts/claim.lua
var claimLua string

//go:embed scripts/settle.lua
var settleLua string

//go:embed scripts/unspool.lua
var unspoolLua string

//go:embed scripts/members.lua
var membersLua string

//go:embed scripts/dropsink.lua
var dropSinkLua string

//go:embed scripts/drophome.lua
var dropHomeLua string

//go:embed scripts/suspect.lua
var suspectLua string

//go:embed scripts/pumps.lua
var pumpsLua string

//go:embed scripts/view.lua
var viewLua string

// script is a Lua script without a shebang line: with one, Redis would refuse it at maxmemory.
type script struct {
	name, body, sha string
}

func newScript(name, body string) *script {
	sum := sha1.Sum([]byte(body)) //nolint:gosec // see above
	return &script{name: name, body: body, sha: hex.EncodeToString(sum[:])}
}

var (
	takeScript     = newScript("take", preludeLua+takeLua)
	renewScript    = newScript("renew", preludeLua+renewLua)
	giveBackScript = newScript("give back", preludeLua+giveBackLua)
	claimScript    = newScript("claim", preludeLua+claimLua)
	settleScript   = newScript("settle", preludeLua+settleLua)
	unspoolScript  = newScript("unspool", preludeLua+unspoolLua)
	membersScript  = newScript("members", preludeLua+membersLua)
	dropSinkScript = newScript("drop sink", preludeLua+dropSinkLua)
	dropHomeScript = newScript("drop home", preludeLua+dropHomeLua)
	suspectScript  = newScript("suspect", preludeLua+suspectLua)
	pumpsScript    = newScript("pumps", preludeLua+pumpsLua)
	viewScript     = newScript("view", viewLua)
)
