package api_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream"
)

// entity is a MIME entity that the corpus is made of: a leaf, or a multipart with parts.
type entity struct {
	kind    string // media type with parameters
	header  string // further fields
	content string
	parts   []entity
}

// write writes the entity with a boundary of its own.
func (e entity) write(b *strings.Builder, boundary string) {
	kind := e.kind
	if len(e.parts) > 0 {
		kind += "; boundary=" + boundary
	}
	fmt.Fprintf(b, "Content-Type: %s\r\n%s\r\n", kind, e.header)
	for i, p := range e.parts {
		fmt.Fprintf(b, "--%s\r\n", boundary)
		p.write(b, fmt.Sprintf("%s.%d", boundary, i))
		b.WriteString("\r\n")
	}
	if len(e.parts) > 0 {
		fmt.Fprintf(b, "--%s--\r\n", boundary)
	}
	b.WriteString(e.content)
}

func multi(subtype string, parts ...entity) entity {
	return entity{kind: "multipart/" + subtype, parts: parts}
}

// author writes leaves that differ from all others.
type author struct{ n int }

func (a *author) next() int {
	a.n++
	return a.n
}

func (a *author) text() entity {
	n := a.next()
	return entity{kind: "text/plain; charset=utf-8", content: fmt.Sprintf("text%d begins\r\n  a%[1]d <b>tag%[1]d</b> &amp; 5 < 6\r\n\r\nends%[1]d.", n)}
}

func (a *author) html() entity {
	n := a.next()
	return entity{kind: "text/html; charset=utf-8", content: fmt.Sprintf("<!DOCTYPE html><html><head><title>t%d</title><style>p.c%[1]d {color: red}</style></head>"+
		"<body style=\"margin: %[1]dpx\"><p class=c%[1]d>html%[1]d &lt;says&gt; gr&uuml;n%[1]d</p><div>more%[1]d</div></body></html>", n)}
}

// sloppy is HTML whose elements stay open.
func (a *author) sloppy() entity {
	n := a.next()
	return entity{kind: "text/html", content: fmt.Sprintf("<table><tr><td><b>cell%d <!-- hidden%[1]d --><font color=red>red%[1]d</td><!-- never%[1]d ends", n)}
}

func (a *author) footer() entity {
	n := a.next()
	return entity{kind: "text/plain", content: fmt.Sprintf("_______\r\nlist%d footer\r\n", n)}
}

func (a *author) picture(disposition string) entity {
	n := a.next()
	header := fmt.Sprintf("Content-Transfer-Encoding: base64\r\nContent-Disposition: %s; filename=\"pic%d.png\"\r\n", disposition, n)
	return entity{kind: "image/png", header: header, content: base64Lines(fmt.Sprintf("\x89PNG %d", n))}
}

func (a *author) file(kind, ext, disposition string) entity {
	n := a.next()
	header := fmt.Sprintf("Content-Disposition: %s; filename=\"file%d.%s\"\r\n", disposition, n, ext)
	return entity{kind: kind, header: header, content: fmt.Sprintf("content of file %d", n)}
}

// related is HTML and the picture that it shows by cid, or by location.
func (a *author) related(located bool) entity {
	n := a.next()
	id, src := fmt.Sprintf("Content-ID: <p%d@x>\r\n", n), fmt.Sprintf("cid:p%d@x", n)
	if located {
		src = fmt.Sprintf("images/p%d.png", n)
		id = "Content-Location: " + src + "\r\n"
	}
	picture := entity{kind: "image/png", header: id + "Content-Transfer-Encoding: base64\r\n", content: base64Lines(fmt.Sprintf("\x89PNG related %d", n))}
	return multi("related", entity{kind: "text/html", content: fmt.Sprintf("<p>before%d <img src=\"%s\"> after%[1]d</p>", n, src)}, picture)
}

func (a *author) alternative() entity { return multi("alternative", a.text(), a.html()) }

// leaf is one of what mails are made of.
func (a *author) leaf(i int) entity {
	all := []func() entity{
		a.text, a.html, a.footer, a.alternative, a.sloppy,
		func() entity { return a.picture("inline") },
		func() entity { return a.picture("attachment") },
		func() entity { return a.file("application/pdf", "pdf", "attachment") },
		func() entity { return a.file("text/plain", "patch", "inline") },
		func() entity { return a.file("text/x-log", "log", "inline") },
		func() entity { return a.file("text/csv", "csv", "inline") },
		func() entity { return a.related(false) },
		func() entity { return a.related(true) },
		func() entity { return multi("alternative", a.text(), a.related(false)) },
		func() entity { return entity{kind: "message/rfc822", content: "Subject: inner\r\n\r\nsome letter"} },
	}
	return all[i%len(all)]()
}

const leafKinds = 15

// corpus are trees of texts, HTML, pictures, files and footers, in all orders and by hand.
func corpus() map[string]entity {
	all := handWritten()
	for i := range leafKinds {
		for j := range leafKinds {
			a := &author{}
			all[fmt.Sprintf("pair %d %d", i, j)] = multi("mixed", a.leaf(i), a.leaf(j))
		}
	}
	for n, order := range permutations([]int{0, 1, 2, 5, 7}) { // text, HTML, footer, picture, file
		a := &author{}
		parts := make([]entity, len(order))
		for i, kind := range order {
			parts[i] = a.leaf(kind)
		}
		all[fmt.Sprintf("order %d", n)] = multi("mixed", parts...)
	}
	for seed := range uint64(150) {
		all[fmt.Sprintf("tree %d", seed)] = grown(rand.New(rand.NewPCG(seed, 12)), &author{}, 3)
	}
	return all
}

// grown is a random tree.
func grown(rnd *rand.Rand, a *author, depth int) entity {
	if depth == 0 || rnd.IntN(3) == 0 && depth < 3 {
		return a.leaf(rnd.IntN(leafKinds))
	}
	parts := make([]entity, 1+rnd.IntN(4))
	for i := range parts {
		parts[i] = grown(rnd, a, depth-1)
	}
	return multi([]string{"mixed", "mixed", "x-odd", "report"}[rnd.IntN(4)], parts...)
}

func permutations(list []int) [][]int {
	if len(list) < 2 {
		return [][]int{list}
	}
	var all [][]int
	for i, first := range list {
		rest := slices.Delete(slices.Clone(list), i, i+1)
		for _, p := range permutations(rest) {
			all = append(all, append([]int{first}, p...))
		}
	}
	return all
}

func handWritten() map[string]entity {
	a := &author{}
	named := func(e entity, name string) entity {
		e.kind += "; name=\"" + name + "\""
		return e
	}
	blank := entity{kind: "text/plain", content: "\r\n \r\n"}
	located := a.related(true)
	located.header = "Content-Location: http://x.example/news/\r\n"
	located.parts[1].header = strings.Replace(located.parts[1].header, "images/", "http://x.example/news/images/", 1)
	return map[string]entity{
		"Email::Stuffer":                   multi("mixed", a.text(), a.html(), a.file("application/pdf", "pdf", "attachment")),
		"Apple Mail, plain":                multi("mixed", a.text(), a.picture("inline"), a.text()),
		"Apple Mail, two pictures":         multi("mixed", a.text(), a.picture("inline"), a.text(), a.picture("inline"), blank),
		"Apple Mail, HTML":                 multi("alternative", a.text(), multi("mixed", a.html(), a.file("application/pdf", "pdf", "inline"), a.html())),
		"Apple Mail, HTML and picture":     multi("alternative", a.text(), multi("mixed", a.html(), a.picture("inline"), a.html())),
		"Apple Mail, text, picture, HTML":  multi("mixed", a.text(), a.picture("inline"), a.html()),
		"picture first":                    multi("mixed", a.picture("inline"), a.text()),
		"picture last":                     multi("mixed", a.text(), a.picture("inline")),
		"footer below text":                multi("mixed", a.text(), a.footer()),
		"footer below HTML":                multi("mixed", a.html(), a.footer()),
		"footer below both":                multi("mixed", a.alternative(), a.footer()),
		"footer and file":                  multi("mixed", multi("mixed", a.alternative(), a.file("application/zip", "zip", "attachment")), a.footer()),
		"footer as HTML and text":          multi("mixed", a.alternative(), a.alternative()),
		"texts between files":              multi("mixed", a.file("text/csv", "csv", "attachment"), a.text(), a.file("image/tiff", "tiff", "inline"), a.text(), a.file("text/plain", "log", "attachment")),
		"related in mixed":                 multi("mixed", a.text(), a.related(false), a.footer()),
		"related of alternative":           multi("mixed", multi("related", a.alternative(), a.picture("inline")), a.footer()),
		"alternative of related":           multi("mixed", a.file("application/pdf", "pdf", "attachment"), multi("alternative", a.text(), a.related(true)), a.footer()),
		"location in full":                 located,
		"two with pictures":                multi("mixed", a.related(false), a.related(true), a.related(true)),
		"named HTML alone":                 named(a.html(), "body.html"),
		"named HTML and a file":            multi("mixed", named(a.html(), "body.html"), a.file("application/pdf", "pdf", "attachment")),
		"a file and named HTML":            multi("mixed", a.file("application/pdf", "pdf", "attachment"), named(a.html(), "body.html")),
		"both alternatives named":          multi("alternative", named(a.text(), "body.txt"), named(a.html(), "body.html")),
		"named text beside a letter":       multi("mixed", a.text(), named(a.text(), "notes.txt")),
		"named alternatives beside a file": multi("mixed", multi("alternative", named(a.text(), "b.txt"), named(a.html(), "b.html")), a.file("text/plain", "diff", "inline")),
		"a patch alone":                    multi("mixed", a.file("text/plain", "patch", "inline")),
		"blank text first":                 multi("mixed", blank, a.html()),
		"blank text between":               multi("mixed", a.text(), blank, a.html(), blank),
		"report":                           multi("report", a.text(), entity{kind: "message/delivery-status", content: "Reporting-MTA: dns; x\r\n"}, entity{kind: "text/rfc822-headers", content: "Subject: x\r\n"}),
		"report with HTML":                 multi("report", a.alternative(), entity{kind: "message/delivery-status", content: "Reporting-MTA: dns; x\r\n"}),
		"signed":                           multi("signed", a.text(), a.file("application/pgp-signature", "asc", "attachment")),
		"signed, mixed":                    multi("signed", multi("mixed", a.text(), a.picture("inline"), a.html()), a.file("application/pkcs7-signature", "p7s", "attachment")),
		"signed with a footer":             multi("mixed", multi("signed", a.alternative(), a.file("application/pgp-signature", "asc", "attachment")), a.footer()),
		"long texts":                       multi("mixed", long(a.text()), long(a.html()), long(a.footer())),
		"long texts and a picture":         multi("mixed", long(a.footer()), a.picture("inline"), long(a.html()), a.related(true)),
		"sloppy HTML, then text":           multi("mixed", a.sloppy(), a.text(), a.sloppy(), a.footer()),
		"HTML in HTML":                     multi("mixed", multi("mixed", multi("mixed", a.html()), a.html()), a.html()),
		"digest":                           multi("digest", entity{kind: "message/rfc822", content: "Subject: 1\r\n\r\nx"}, a.text()),
		"pictures without names":           multi("mixed", a.text(), entity{kind: "image/gif", content: "GIF89a 1"}, a.text(), entity{kind: "image/jpeg", content: "JFIF 2"}, a.html()),
		"attached pictures between":        multi("mixed", a.text(), a.picture("attachment"), a.html(), a.picture("attachment")),
		"a picture that few programs show": multi("mixed", a.text(), entity{kind: "image/tiff", header: "Content-Disposition: inline; filename=\"fax.tiff\"\r\n", content: "II*"}, a.text()),
		"alternatives within alternatives": multi("alternative", a.text(), multi("mixed", multi("related", a.html(), a.file("image/png", "png", "inline")), a.footer())),
		"a mailing list's text, then HTML": multi("mixed", a.footer(), a.html(), a.footer()),
	}
}

// long makes a text longer than what is held in memory.
func long(e entity) entity {
	word := " and so it goes on"
	if strings.HasPrefix(e.kind, "text/html") {
		e.content = strings.Replace(e.content, "</p>", strings.Repeat(" &amp; on<br>\r\n", 9_000)+"</p>", 1)
		return e
	}
	e.content += strings.Repeat(word+"\r\n", 6_000)
	return e
}

// TestReaderSeesTheSame sends the corpus and compares what readers of the original see with what those of the
// request do, in HTML and in plain text, file by file.
func TestReaderSeesTheSame(t *testing.T) {
	trees, again := corpus(), handWritten()
	if len(trees) < 60 {
		t.Fatalf("only %d trees", len(trees))
	}
	for _, kind := range append(slices.Clone(jsonKinds), "brevo") {
		settings, refused := "on_lossy = 'allow'\n", 0
		if kind == "brevo" {
			settings = "" // it shows no pictures and takes few kinds of files, and says so
		}
		up, fake := start(t, kind, settings)
		for name, tree := range trees {
			var b strings.Builder
			b.WriteString("From: app@example.com\r\nTo: ann@example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\n")
			tree.write(&b, "b")
			m := makeMail(t, strings.ReplaceAll(b.String(), "\r\n", "\n"), "ann@example.org")
			m.ID = strings.ReplaceAll(name, " ", "-")
			fake.Reset()
			fake.Forget()
			offers := 1
			if _, ok := again[name]; ok {
				offers = 2 // the same bytes again
			}
			for range offers {
				fake.Forget()
				if out := up.Send(t.Context(), m); out[0].Err != nil && (settings != "" || asError(t, out[0].Err).Class != upstream.Unrepresentable) {
					t.Fatalf("%s, %s: %v: %v", kind, name, out[0].Err, fake.Rejected())
				}
			}
			taken := fake.Accepted()
			if len(taken) == 0 {
				refused++
				continue
			}
			if len(taken) == 2 && !bytes.Equal(taken[0].Raw, taken[1].Raw) {
				t.Errorf("%s, %s: another request for the same mail", kind, name)
			}
			original := readOriginal(t, []byte(b.String()))
			if kind == "brevo" && original.html == nil {
				original.html = original.text // shown in an HTML too
			}
			compareViews(t, kind+", "+name, original, readRequest(t, taken[0]))
		}
		if len(trees)-refused < 100 {
			t.Errorf("%s carried %d of %d", kind, len(trees)-refused, len(trees))
		}
	}
}
