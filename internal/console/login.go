package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "sluice_session"
	session    = 12 * time.Hour
	wrongPause = 500 * time.Millisecond // what a wrong token costs whoever guesses
	loginBytes = 4096                   // most a login form may send
)

// guardian asks for the token. Sessions are cookies signed with a key that lives as long as the process.
type guardian struct {
	token [32]byte // hash, so that comparing takes the same time for every length
	key   []byte
	next  http.Handler
}

// guard puts the token before a handler; without a token it is the handler.
func guard(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	g := &guardian{token: sha256.Sum256([]byte(token)), key: []byte(rand.Text()), next: next}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", static()) // the form's own style; nothing secret is among the files
	mux.HandleFunc("GET /login", g.form)
	mux.HandleFunc("POST /login", g.login)
	mux.HandleFunc("/", g.check)
	return mux
}

// check lets a request with the token or a session pass; a browser is shown the form.
func (g *guardian) check(w http.ResponseWriter, r *http.Request) {
	if g.allowed(r) {
		g.next.ServeHTTP(w, r)
		return
	}
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
	plain(w, http.StatusUnauthorized, "a token is needed: Authorization: Bearer ...\n")
}

func (g *guardian) allowed(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return g.right(token)
	}
	c, err := r.Cookie(cookieName)
	return err == nil && g.valid(c.Value, time.Now())
}

// right compares in constant time.
func (g *guardian) right(token string) bool {
	h := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(h[:], g.token[:]) == 1
}

// seal makes a session that ends at a time.
func (g *guardian) seal(ends time.Time) string {
	text := strconv.FormatInt(ends.Unix(), 10)
	return text + "." + hex.EncodeToString(g.mac(text))
}

func (g *guardian) valid(value string, now time.Time) bool {
	text, sum, ok := strings.Cut(value, ".")
	got, err := hex.DecodeString(sum)
	if !ok || err != nil || !hmac.Equal(got, g.mac(text)) {
		return false
	}
	ends, err := strconv.ParseInt(text, 10, 64)
	return err == nil && now.Unix() < ends
}

func (g *guardian) mac(text string) []byte {
	m := hmac.New(sha256.New, g.key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (g *guardian) form(w http.ResponseWriter, r *http.Request) {
	if g.allowed(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	file := "login.html"
	if r.URL.Query().Has("wrong") {
		file = "login-wrong.html"
	}
	html(w, file)
}

// login sets the session's cookie when the token is right.
func (g *guardian) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, loginBytes)
	if !g.right(r.PostFormValue("token")) {
		select {
		case <-time.After(wrongPause):
		case <-r.Context().Done():
			return
		}
		http.Redirect(w, r, "/login?wrong", http.StatusSeeOther)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: g.seal(time.Now().Add(session)), Path: "/",
		MaxAge: int(session.Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
