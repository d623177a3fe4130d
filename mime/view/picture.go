package view

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/mime/markup"
)

// isPicture reports whether mail programs show a leaf where it stands. Pictures that few of them can show stay files.
func isPicture(p *mime.Part) bool {
	switch p.Type {
	case "image/png", "image/x-png", "image/jpeg", "image/jpg", "image/pjpeg", "image/gif", "image/webp", "image/bmp", "image/avif":
		return p.Disposition != "attachment" && p.Field == "" && p.Defect == nil
	}
	return false
}

// pictures finds the files that the HTML shows, and puts those in that stand between texts.
func (s *sorter) pictures(root *mime.Part) error {
	if len(s.content.Attachments) == 0 {
		return nil
	}
	shown, err := s.markShown()
	if err != nil {
		return err
	}
	if s.size.html > Together {
		s.html = slices.DeleteFunc(s.html, func(p piece) bool { return p.body == nil })
		return nil
	}
	if err := s.locate(root, shown); err != nil {
		return err
	}
	s.putIn(shown)
	return nil
}

// documents yields the HTML texts that are not blank.
func (s *sorter) documents(yield func(*piece) bool) {
	for i := range s.html {
		if p := &s.html[i]; p.isHTML() && !p.body.IsBlank() && !yield(p) {
			return
		}
	}
}

// markShown finds attachments that the HTML shows by their content ids, whatever they call themselves. It returns
// them by their index.
func (s *sorter) markShown() (shown map[int]bool, err error) {
	ids := map[string]bool{}
	for _, a := range s.content.Attachments {
		if a.ContentID != "" && !a.Original {
			ids[a.ContentID] = false
		}
	}
	shown = map[int]bool{}
	if len(ids) == 0 {
		return shown, nil
	}
	for p := range s.documents {
		if err := markup.MarkShown(p.body.Open(), ids); err != nil {
			return nil, err
		}
	}
	for i := range s.content.Attachments {
		a := &s.content.Attachments[i]
		if !a.Original && ids[a.ContentID] {
			a.Inline, shown[i] = true, true
		}
	}
	return shown, nil
}

// locate gives content ids to pictures that the HTML shows by their Content-Location, and writes them into it: an API
// has no place for a location (RFC 2557).
func (s *sorter) locate(root *mime.Part, shown map[int]bool) error {
	places := map[string]int{} // pictures by their location, as it stands and in full
	var base *url.URL
	for i, a := range s.content.Attachments {
		at := a.Part.Header.Text("Content-Location")
		if at == "" || a.Original || shown[i] || a.Part.Defect != nil || !strings.HasPrefix(a.Part.Type, "image/") {
			continue
		}
		if base == nil {
			var err error
			if base, err = s.base(root); err != nil {
				return err
			}
		}
		for _, name := range []string{at, unfolded(at), resolved(base, at), resolved(base, unfolded(at))} {
			if _, taken := places[name]; !taken {
				places[name] = i
			}
		}
	}
	if len(places) == 0 {
		return nil
	}
	find := func(ref string) (int, bool) {
		if i, ok := places[ref]; ok {
			return i, true
		}
		i, ok := places[resolved(base, ref)]
		return i, ok
	}
	found := false
	cid := func(ref string) (string, bool) {
		i, ok := find(ref)
		if !ok {
			return "", false
		}
		found = true
		if !shown[i] {
			s.identify(i)
			s.content.Attachments[i].Inline, shown[i] = true, true
		}
		return "cid:" + s.content.Attachments[i].ContentID, true
	}
	for p := range s.documents {
		found = false
		original := p.body
		rewritten := convert(original, func(r io.Reader) io.Reader { return markup.Referring(r, cid) })
		limit := s.limit
		if original.open != nil {
			limit = 0
		}
		body, err := made(original.Parts, limit, rewritten)
		if err != nil {
			return err
		}
		if found {
			p.body = body // the text body needs no pictures
		}
	}
	return nil
}

// base is what relative locations start from: that of the first HTML text or of the message (RFC 2557 5).
func (s *sorter) base(root *mime.Part) (*url.URL, error) {
	var named []string
	for p := range s.documents {
		frame, err := markup.FrameOf(p.body.Open())
		if err != nil {
			return nil, err
		}
		named = append(named, frame.Base, p.part.Header.Text("Content-Base"), p.part.Header.Text("Content-Location"))
		break
	}
	for _, name := range append(named, root.Header.Text("Content-Base"), root.Header.Text("Content-Location")) {
		if u, err := url.Parse(unfolded(name)); err == nil && u.IsAbs() {
			return u, nil
		}
	}
	return &url.URL{Scheme: "thismessage", Path: "/"}, nil
}

// unfolded takes out the white space with which a long URL was folded (RFC 2557 4.4.2).
func unfolded(s string) string { return strings.Join(strings.Fields(s), "") }

func resolved(base *url.URL, ref string) string {
	u, err := url.Parse(ref)
	if err != nil {
		return ref
	}
	return base.ResolveReference(u).String()
}

// putIn shows pictures where they stand: before some text, or behind it when they say so and the HTML is put together
// anyway.
func (s *sorter) putIn(shown map[int]bool) {
	last, texts, documents := -1, 0, 0
	for i, p := range s.html {
		if p.body != nil && !p.body.IsBlank() {
			last = i
			texts++
			if p.isHTML() {
				documents++
			}
		}
	}
	joined := texts > 1 && documents > 0
	kept := s.html[:0]
	for i, p := range s.html {
		if p.body == nil {
			between := i < last && !shown[p.file]
			joined = joined || between
			if !between && (shown[p.file] || !joined || p.part.Disposition != "inline") {
				continue
			}
			s.identify(p.file)
			s.content.Attachments[p.file].Inline, shown[p.file] = true, true
		}
		kept = append(kept, p)
	}
	s.html = kept
}

// identify gives an attachment a content id that stands in a URL as it is and is no other's.
func (s *sorter) identify(i int) {
	a := &s.content.Attachments[i]
	if isPlainID(a.ContentID) && !s.isTaken(i, a.ContentID) {
		return
	}
	for n := i + 1; ; n += len(s.content.Attachments) {
		id := fmt.Sprintf("picture-%d@mailhatch", n)
		if !s.isTaken(i, id) {
			a.ContentID = id
			return
		}
	}
}

func (s *sorter) isTaken(i int, id string) bool {
	for j, a := range s.content.Attachments {
		if j != i && a.ContentID == id {
			return true
		}
	}
	return false
}

func isPlainID(id string) bool {
	return id != "" && len(id) <= 200 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.@_+-=$") == ""
}
