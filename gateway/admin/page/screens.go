package page

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed templates style.css script.js
var files embed.FS

// screens are the templates, and what pages load beside them.
type screens struct {
	templates map[string]*template.Template // by the name of their file
	assets    map[string]asset              // by their path
}

type asset struct {
	kind   string
	tag    string // of these very bytes
	packed []byte // gzip
	plain  []byte
}

// parseScreens reads the embedded files. Each screen fills the frame and may use the pieces.
func parseScreens() (*screens, error) {
	s := &screens{map[string]*template.Template{}, map[string]asset{}}
	frame, err := template.New("frame.html").Funcs(words()).ParseFS(files, "templates/frame.html", "templates/pieces.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "frame" || base == "pieces" {
			continue
		}
		t, err := frame.Clone()
		if err != nil {
			return nil, err
		}
		if s.templates[base], err = t.ParseFS(files, name); err != nil {
			return nil, err
		}
	}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"} {
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		s.assets["/"+name] = asset{kind, hex.EncodeToString(sum[:6]), pack(b), b}
	}
	return s, nil
}

// url returns the address of an asset, which is another one when its bytes are.
func (s *screens) url(name string) string { return "/" + name + "?" + s.assets["/"+name].tag }

func pack(b []byte) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(b) // a buffer takes all
	_ = z.Close()
	return packed.Bytes()
}

// asset serves the stylesheet and the script. Their addresses name their bytes: browsers keep them for good.
func (p *Page) asset(v *view) error {
	s, err := p.screens()
	if err != nil {
		return err
	}
	a := s.assets[v.r.URL.Path]
	v.w.Header().Set("Content-Type", a.kind)
	if v.r.URL.RawQuery == a.tag {
		v.w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	v.send(http.StatusOK, a.plain, a.packed)
	return nil
}

// send answers with bytes, packed where the browser can unpack them; packed may be nil.
func (v *view) send(status int, plain, packed []byte) {
	h := v.w.Header()
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(v.r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		if packed == nil {
			packed = pack(plain)
		}
		plain = packed
	}
	v.w.WriteHeader(status)
	_, _ = v.w.Write(plain) // the browser is gone
}

// frame is what all screens have around them.
type frame struct {
	Screen, Title string
	Style, Script string // addresses
	Host, Version string
	Now           time.Time
	By            string // who looks, "" unknown
	CSRF          string
	Query         string // of the search
	Whole         note   // how the gateway is, in a few words
	Live          string // where the screen hears that something happened, "" where it does not change
	Body          any
}

// show renders a screen. What it shows is complete before anything is sent.
func (p *Page) show(v *view, status int, screen, title string, body any) error {
	s, err := p.screens()
	if err != nil {
		return err
	}
	caller := p.cfg.Caller(v.r)
	f := &frame{Now: v.now, Screen: screen, Title: title, Style: s.url("style.css"), Script: s.url("script.js"), CSRF: caller.CSRF, Query: v.r.URL.Query().Get("q"), Body: body,
		By: strings.TrimPrefix(caller.By, "page: ")}
	switch screen {
	case "overview", "messages", "message", "upstreams":
		f.Live = v.live
	}
	if st, err := p.cfg.Gateway.Status(v.ctx); err == nil {
		f.Host, f.Version, f.Whole = st.Hostname, st.Version, whole(p.notes(v, st))
	} else {
		f.Whole = note{Level: "bad", Short: "The queue does not answer", Link: "/overview"}
	}
	var b bytes.Buffer
	if err := s.templates[screen].ExecuteTemplate(&b, "frame.html", f); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Cache-Control", "no-store")
	v.send(cmp.Or(status, http.StatusOK), b.Bytes(), nil)
	return nil
}

// asFile says that what follows is a file, which a browser stores and does not show, whatever it says it is.
func (v *view) asFile(name, kind string) {
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", contentDisposition(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

// download sends a file.
func (v *view) download(name, kind string, r io.Reader) error {
	v.asFile(name, kind)
	_, _ = io.Copy(v.w, r) // the browser sees that the rest is missing
	return nil
}
