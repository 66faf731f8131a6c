// Package nats is a bus on NATS JetStream, server 2.10 or newer. What Publish
// has returned for survives the death of every process but the server; that of
// the server as well where it syncs always.
//
// All names have the project in them, with what isn't a letter, a digit or a
// hyphen escaped. P is the project, C a component, N one of 16 parts of its
// queue, given by the session. Streams are named ww_P_NAME; they are files but
// where it says memory:
//
//	queue    ww.P.q.C.N        what is to be handled, with Nats-Msg-Id C/ID
//	marks    ww.P.m.C.N.SEQ    what happened to a queued message before: retries, when it is due
//	done     ww.P.done.C       ids of what was handled, kept for the window of duplicates
//	dead     ww.P.dead.C       what failed for good
//	inbox    ww.P.in.I.whole   answers for the process I, kept for minutes
//	gather   ww.P.gather.HASH  parts, by key, until they expire
//	dropped  ww.P.dropped      its last sequence counts messages that nobody subscribes to
//	trail    ww.P.trail.HASH   memory: the last hops, by session
//
// Buckets are named ww_P_NAME:
//
//	parts    C → which replica has which part of the queue
//	replicas C.REPLICA → heartbeat; memory
//	settings C → topics and limits; version → revision of the last change
//	totals   C → counters
//	registry NAME.INSTANCE → entry
//
// On core NATS: ww.P.in.I.chunk (pieces of streamed answers), ww.P.topic (each
// message on a topic once, for Tail) and ww.P.ask (what replicas do now).
//
// Each part of a queue belongs to one replica at a time. It reads the part in
// order, keeps a lane for each session, and deletes a message once that is
// settled; nothing is acknowledged to the server before. So a retry holds up
// its session in its place, and whoever takes a part over finds all that is not
// finished, in order. A replica that is not heard of for a lease loses its
// parts, and has stopped by then to begin anything: it counts from its own last
// heartbeat. What it finishes later is void.
//
// There is no transaction over streams. Outputs go first, with ids that derive
// from their cause, then the id of the input to done, then the input is
// deleted. A crash in between has the input handled again; the outputs have the
// ids that they had, and count once.
package nats
