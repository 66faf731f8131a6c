// Package redis is a bus on Redis Streams: Redis 6.2 or newer, or Valkey. What
// Publish has returned for survives the death of every process but Redis; that
// of Redis as well where it has an append-only file with appendfsync always.
//
// A component's queue is one stream with one consumer group. A message is in
// exactly one place at a time, and moves by scripts, so that a count over all
// places is exact. An entry of a stream has the field m, the envelope, and
// after its first attempt h, what happened to it. Times are the server's.
//
// All keys begin with `ww:{PROJECT}:`, braces included: one hash slot, since
// what a handler has done is acknowledged in one step with sending its outputs.
//
//	queues               set: components that have a queue
//	subs                 hash: component → JSON array of topic patterns
//	dropped              counter: messages on topics without a subscriber
//	q:COMPONENT          stream: what is to be handled; group ww
//	delayed:COMPONENT    sorted set: what waits for its retry, by due time (ms)
//	dead:COMPONENT       stream: what failed for good
//	heads:COMPONENT      hash: session → id of the message that holds it up
//	parked:COMPONENT:SESSION  list: messages behind that one, in order
//	parkedn:COMPONENT    counter: messages in all lists of the component
//	done:COMPONENT:ID    string, expires: the id was handled
//	alive:COMPONENT:INSTANCE  string, expires: that replica lives
//	inbox:INSTANCE       stream, expires: answers to requests of one process
//	gather:KEY           hash, expires: parts
//	registry, registry:seen   hash and sorted set: see runtime/registry
//
// A replica that dies leaves its messages pending; the others take them over
// once its alive key is gone, however long a handler may take. One that was
// only cut off may handle such a message at the same time; whoever finishes
// first has its outputs sent, the other's are void.
package redis
