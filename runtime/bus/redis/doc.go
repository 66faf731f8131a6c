// Package redis is a bus on Redis Streams: Redis 6.2 or newer, or Valkey. What
// Publish has returned for survives the death of every process but Redis; that
// of Redis as well where it has an append-only file with appendfsync always.
//
// URLs: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS (with
// ?ca=FILE for certificates of one's own), unix:///PATH,
// redis+cluster://HOST:PORT?addr=HOST:PORT for a cluster, and
// redis+sentinel://HOST:PORT?master_name=NAME for sentinels.
//
// A component's queue is 16 streams, its partitions; a session is on one of
// them. Each partition is leased to one replica, which reads it as a plain
// stream and deletes a message once it is handled: there are no consumer
// groups, whose every read is a write. An epoch that grows with each lease
// fences off a replica which was cut off and doesn't know: what it finishes is
// void. So the messages of a session are handled in order, whoever dies.
//
// A message is in exactly one place at a time, and moves by scripts, so that a
// count over all places is exact. An entry of a stream has the field m, the
// envelope, and after its first attempt h, what happened to it. Times are the
// server's.
//
// All keys begin with `ww:{PROJECT}:`, braces included: one hash slot, since
// what a handler has done is acknowledged in one step with sending its outputs.
//
//	queues               set: components that have a queue
//	subs                 hash: component → topics, limit of its queue (JSON)
//	version              counter: grows when subs or tailing change
//	dropped              counter: messages on topics without a subscriber
//	q:COMPONENT:P        stream: what is to be handled
//	delayed:COMPONENT    sorted set: what waits for its retry, by due time (ms)
//	heads:COMPONENT:P    hash: session → id of the message that holds it up
//	parked:COMPONENT:SESSION  list: messages behind that one, in order
//	parkedn:COMPONENT    counter: messages in all lists of the component
//	dead:COMPONENT       stream: what failed for good
//	done:COMPONENT       stream: ids that were handled, eight bytes of a hash each
//	counts:COMPONENT     hash: handled, retried, dead
//	members:COMPONENT    sorted set: replicas, by when they count as dead (ms)
//	inflight:COMPONENT   hash: replica → messages it has in flight
//	lease:COMPONENT      hash: P → epoch, a space, and the replica, if any
//	suspect:COMPONENT    hash: P → last entry that a replica may have died of
//	strikes:COMPONENT:P  hash: entry → how often it was begun under suspicion
//	wake:COMPONENT       stream: replicas came or went
//	sweep                string, expires: someone looks after what nobody reads
//	trail                stream: what happened to messages, newest 10,000 batches
//	tailing, tail        string, stream: someone watches, and what is sent
//	inbox:INSTANCE       stream, expires: answers to requests of one process
//	gather:KEY           hash, expires: parts
//	registry, registry:seen   hash and sorted set: see runtime/registry
//
// The partitions of a replica that dies are another one's when its lease ends,
// however long a handler may take. Which of its messages it had begun is not
// written down, as that would cost every message a write. So all of them that
// are still there are suspects: each is marked before it is begun again, and
// one that was begun at two deaths is handled alone. A message that ends its
// process each time goes to the dead letters; those beside it don't.
package redis
