package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// contentTypes of the files there are; the system's own table may differ.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// page serves a page itself.
func page(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { html(w, name) })
}

func html(w http.ResponseWriter, name string) {
	b, err := web.ReadFile("web/" + name)
	if err != nil {
		plain(w, http.StatusNotFound, "not there\n")
		return
	}
	w.Header().Set("Content-Type", contentTypes[".html"])
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // the caller is gone if it fails
}

// static serves scripts, styles and the icon. A browser keeps them and asks whether they changed.
func static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Clean(strings.TrimPrefix(r.URL.Path, "/static/"))
		kind, ok := contentTypes[path.Ext(name)]
		b, err := fs.ReadFile(web, "web/"+name)
		if err != nil || !ok || path.Ext(name) == ".html" {
			plain(w, http.StatusNotFound, "not there\n")
			return
		}
		sum := sha256.Sum256(b)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	})
}
