package console

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// policy allows the page its own files and nothing else. Trusted types make the browser refuse any assignment of markup
// from a string, so a path or a user agent cannot become an element even by a mistake of ours.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// secured sets the headers of every answer and refuses names that a page of somebody else may have pointed at a
// loopback address (DNS rebinding): whoever listens on loopback is asked for as localhost.
func secured(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if onLoopback(r) && !localHost(r.Host, hosts) {
			plain(w, http.StatusForbidden, "this console is asked for as localhost\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onLoopback tells whether the connection came to a loopback address.
func onLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// localHost tells whether a Host header names this machine, or one of hosts.
func localHost(host string, hosts []string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	return name == "localhost" || slices.Contains(hosts, name)
}
