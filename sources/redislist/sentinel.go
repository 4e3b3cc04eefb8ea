package redislist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// sentinelTime bounds what one Sentinel may take to answer: one that is gone must not hold up a failover.
	sentinelTime = time.Second
	// sentinelLook is how often a session asks whether its server is still the primary. A primary that was cut off from
	// its Sentinels does not hear of its successor, and takes our writes meanwhile.
	sentinelLook = 2 * time.Second
)

// sentinelView is what a Sentinel says of the primary.
type sentinelView struct {
	addr  string
	epoch uint64 // of its configuration: grows with each failover
}

var (
	errUnknownPrimary = errors.New("unknown primary")
	errNoSentinel     = errors.New("no Sentinel")
)

// sentinelError explains why a Sentinel gave no answer. What only an operator can cure is fatal.
func sentinelError(addr, name string, err error) error {
	return explain(sentinelAnswers, err, "ask the Sentinel "+addr, addr, name)
}

// primary asks all Sentinels where the primary is, at the same time. They may differ for a while, or for long where the
// network is cut: who knows of the latest failover is right.
func (d *dialer) primary(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sentinelTime)
	defer cancel()
	type answer struct {
		view sentinelView
		err  error
	}
	answers := make(chan answer, len(d.cfg.Addrs))
	for _, addr := range d.cfg.Addrs {
		go func() { // ends with ctx
			v, err := d.askSentinel(ctx, addr)
			if err != nil {
				err = sentinelError(addr, d.cfg.MasterName, err)
			}
			answers <- answer{v, err}
		}()
	}
	var best sentinelView
	var errs []error
	for range d.cfg.Addrs {
		a := <-answers
		switch {
		case a.err != nil:
			errs = append(errs, a.err)
		case best.addr == "" || a.view.epoch > best.epoch:
			best = a.view
		}
	}
	if best.addr == "" {
		return "", errors.Join(errs...)
	}
	return best.addr, nil
}

// askSentinel asks one Sentinel.
func (d *dialer) askSentinel(ctx context.Context, addr string) (v sentinelView, err error) {
	nc, err := d.conn(ctx, addr, d.sentinels)
	if err != nil {
		return v, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	c := &readConn{net: nc, r: newRespReader(silence{nc}, 0)}
	if err := c.auth(d.cfg.Sentinel.Username, d.cfg.Sentinel.Password); err != nil {
		return v, err
	}
	b := appendCommand(nil, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", d.cfg.MasterName)
	if err := c.send(appendCommand(b, "SENTINEL", "MASTER", d.cfg.MasterName)); err != nil {
		return v, err
	}
	return c.r.sentinelView()
}

// sentinelView reads the answers to SENTINEL GET-MASTER-ADDR-BY-NAME, which knows of a failover before it is over, and
// SENTINEL MASTER, which has the epoch.
func (r *respReader) sentinelView() (v sentinelView, err error) {
	at, err := r.strings()
	var re replyError
	if errors.As(err, &re) && strings.Contains(strings.ToLower(string(re)), "unknown command") {
		return v, errNoSentinel
	}
	if err != nil {
		return v, err
	}
	if len(at) != 2 {
		return v, errUnknownPrimary
	}
	v.addr = net.JoinHostPort(at[0], at[1])
	fields, err := r.strings()
	if err != nil {
		return v, err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "config-epoch" {
			v.epoch, err = strconv.ParseUint(fields[i+1], 10, 64)
		}
	}
	return v, err
}

// watchPrimary ends the session when the Sentinels name another primary. It returns when the session ends.
func (se *session) watchPrimary(ctx context.Context) {
	tick := time.NewTicker(sentinelLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-se.c.broken:
			return
		case <-tick.C:
		}
		addr, err := se.src.dialer.primary(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			se.src.say("sentinels", "no Sentinel says where the primary is; the one that is known is used on", "err", err)
		case addr != se.c.addr:
			se.c.fail(fmt.Errorf("the Sentinels name %s as the primary", addr))
		}
	}
}
