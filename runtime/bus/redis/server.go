package redis

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// server is where the bus is, or a cluster, or what sentinels say.
type server struct {
	addr     string
	password string
	open     func(pool int) redis.UniversalClient // with the usual number of connections if 0
}

const advice = "write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, " +
	"redis+cluster://HOST:PORT?addr=HOST:PORT for a cluster, redis+sentinel://HOST:26379?master_name=NAME for sentinels"

// server reads the URL. It never quotes it or what a parser says about it: both
// may contain the password.
func (o Options) server() (*server, error) {
	scheme, rest, _ := strings.Cut(o.URL, "://")
	plain, mode, _ := strings.Cut(scheme, "+")
	switch {
	case plain != "redis" && plain != "rediss" && plain != "unix",
		mode != "" && (plain == "unix" || mode != "cluster" && mode != "sentinel"):
		return nil, errors.New("the URL of the bus must begin with redis:// or rediss://: " + advice)
	}
	address := plain + "://" + rest
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the URL of the bus can't be read: " + advice + ", with special characters of the password percent-encoded")
	}
	ca, err := authorities(u)
	if err != nil {
		return nil, err
	}
	c, err := parse(u.String(), mode)
	if err != nil {
		return nil, fmt.Errorf("the URL of the bus (host %s) can't be used: %s", u.Hostname(), advice)
	}
	if o.Password != "" {
		c.Password = o.Password
	}
	if c.TLSConfig != nil && ca != nil {
		c.TLSConfig.RootCAs = ca
	}
	c.MaxRetries = -1 // a write whose reply is lost must not be sent twice behind our back
	c.DialerRetries = 1
	c.DialTimeout = 3 * time.Second
	c.ReadTimeout, c.WriteTimeout = attemptTimeout, attemptTimeout
	c.ContextTimeoutEnabled = true
	c.Protocol = 2 // RESP3 gives nothing here, and other shapes
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &server{addr: strings.Join(c.Addrs, ","), password: c.Password, open: func(pool int) redis.UniversalClient {
		own := *c
		own.PoolSize = pool
		// Batches of messages, with few calls of the system.
		own.ReadBufferSize, own.WriteBufferSize = 32<<10, 128<<10
		if pool == 1 { // a reader
			own.ReadBufferSize, own.WriteBufferSize = 256<<10, 4<<10
		}
		return redis.NewUniversalClient(&own)
	}}, nil
}

// parse reads what the client's own parsers do.
func parse(address, mode string) (*redis.UniversalOptions, error) {
	switch mode {
	case "cluster":
		c, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: c.Addrs, Username: c.Username, Password: c.Password, TLSConfig: c.TLSConfig, IsClusterMode: true}, nil
	case "sentinel":
		c, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, err
		}
		if c.MasterName == "" {
			return nil, errors.New("no master_name")
		}
		return &redis.UniversalOptions{Addrs: c.SentinelAddrs, MasterName: c.MasterName, DB: c.DB, Username: c.Username, Password: c.Password,
			SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword, TLSConfig: c.TLSConfig}, nil
	}
	c, err := redis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: []string{c.Addr}, DB: c.DB, Username: c.Username, Password: c.Password, TLSConfig: c.TLSConfig}, nil
}

// authorities reads the file that the parameter ca names: the certificates that
// a server's must come from, in place of the system's.
func authorities(u *url.URL) (*x509.CertPool, error) {
	q := u.Query()
	name := q.Get("ca")
	if name == "" {
		return nil, nil
	}
	q.Del("ca")
	u.RawQuery = q.Encode()
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the certificates of the bus: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the certificates of the bus: %s has none in PEM", name)
	}
	return pool, nil
}
