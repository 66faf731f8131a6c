package bus

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"time"
)

// The alphabet sorts as the bytes do.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// NewID returns a new unique id. Ids sort by the millisecond they were made in.
func NewID() string { return newID(time.Now()) }

func newID(now time.Time) string {
	var tail [10]byte
	rand.Read(tail[:]) // never fails
	return formatID(now, tail)
}

// DeriveID returns the id of output number index of the message cause, for the
// given receiver. It is the same whenever and wherever cause is handled, and
// sorts by the time of the cause.
func DeriveID(cause *Message, index int, receiver string) string {
	h := sha256.New()
	for _, s := range []string{cause.ID, strconv.Itoa(index), receiver} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write([]byte(s))
	}
	return formatID(cause.CreatedAt, [10]byte(h.Sum(nil)[:10]))
}

// formatID writes 48 bits of milliseconds and 80 others as 26 characters.
func formatID(t time.Time, tail [10]byte) string {
	ms := uint64(max(t.UnixMilli(), 0))
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], ms<<16)
	copy(b[6:], tail[:])
	var text [26]byte
	idEncoding.Encode(text[:], b[:])
	return string(text[:])
}
