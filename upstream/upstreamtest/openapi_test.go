package upstreamtest_test

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// goldenRequest is one request of a golden file.
type goldenRequest struct {
	file   string
	method string
	url    string
	header http.Header
	body   []byte
}

// readGolden reads the requests that Render wrote.
func readGolden(t *testing.T, kind string) []goldenRequest {
	t.Helper()
	files, err := filepath.Glob("../" + kind + "/testdata/*.golden")
	if err != nil || len(files) < 20 {
		t.Fatalf("only %d golden files: %v", len(files), err)
	}
	var out []goldenRequest
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for {
			start := bytes.Index(raw, []byte("POST "))
			if start < 0 || start > 0 && raw[start-1] != '\n' {
				break
			}
			head, rest, ok := bytes.Cut(raw[start:], []byte("\n\n"))
			if !ok {
				t.Fatalf("%s: no empty line", file)
			}
			r := goldenRequest{file: file, method: "POST", header: http.Header{}}
			for i, line := range strings.Split(string(head), "\n") {
				if i == 0 {
					r.url = strings.TrimPrefix(line, "POST ")
					continue
				}
				name, value, _ := strings.Cut(line, ": ")
				r.header.Set(name, value)
			}
			n, err := strconv.Atoi(r.header.Get("Content-Length"))
			if err != nil || n > len(rest) {
				t.Fatalf("%s: Content-Length %q of %d", file, r.header.Get("Content-Length"), len(rest))
			}
			r.body, raw = rest[:n], rest[n:]
			out = append(out, r)
		}
	}
	return out
}

func specsDir(t *testing.T) string {
	dir := os.Getenv("MAILHATCH_SPECS")
	if dir == "" {
		t.Skip("MAILHATCH_SPECS is not set: the providers' OpenAPI files are not at hand, so requests are not held against them")
	}
	return dir
}

func TestGoldenRequestsAgainstOpenAPI(t *testing.T) {
	for kind, file := range map[string]string{"resend": "resend.yaml", "sendgrid": "tsg_mail_v3.yaml"} {
		t.Run(kind, func(t *testing.T) {
			spec, err := os.ReadFile(filepath.Join(specsDir(t), file))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := libopenapi.NewDocument(spec)
			if err != nil {
				t.Fatal(err)
			}
			v, errs := validator.NewValidator(doc)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			check := func(r goldenRequest, body []byte) (bool, string) {
				req, err := http.NewRequest(r.method, r.url, bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header = r.header
				ok, errs := v.ValidateHttpRequestSync(req)
				var why strings.Builder
				for _, e := range errs {
					why.WriteString(e.Error() + "\n")
					for _, s := range e.SchemaValidationErrors {
						why.WriteString("  " + s.Reason + "\n")
					}
				}
				return ok, why.String()
			}
			requests := readGolden(t, kind)
			for _, r := range requests {
				if ok, why := check(r, r.body); !ok {
					t.Errorf("%s: %s", r.file, why)
				}
			}
			if ok, _ := check(requests[0], []byte(`{"from":5}`)); ok {
				t.Error("the validator lets anything pass")
			}
		})
	}
}

// TestMailgunFormAgainstOpenAPI reads the form fields' rules out of the official file by its
// indentation and holds the golden forms against them.
func TestMailgunFormAgainstOpenAPI(t *testing.T) {
	spec, err := os.ReadFile(filepath.Join(specsDir(t), "mailgun-openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(spec)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	path, ok := model.Model.Paths.PathItems.Get("/v3/{domain_name}/messages.mime")
	if !ok {
		t.Fatal("no such path")
	}
	media, ok := path.Post.RequestBody.Content.Get("multipart/form-data")
	if !ok {
		t.Fatal("no form")
	}
	schema := media.Schema.Schema()
	if len(schema.Required) == 0 || schema.Properties.Len() < 10 {
		t.Fatalf("the schema was not read: %v, %d properties", schema.Required, schema.Properties.Len())
	}
	for _, r := range readGolden(t, "mailgun") {
		fields := formFields(t, r)
		for _, name := range schema.Required {
			if fields[name] == nil {
				t.Errorf("%s: %s is missing", r.file, name)
			}
		}
		for name, values := range fields {
			prop, ok := schema.Properties.Get(name)
			if !ok {
				if !strings.HasPrefix(name, "v:") {
					t.Errorf("%s: %s is no field", r.file, name)
				}
				continue
			}
			var allowed []string
			for _, n := range prop.Schema().Enum {
				allowed = append(allowed, n.Value)
			}
			if len(allowed) > 0 && !slices.Contains(allowed, values[0]) {
				t.Errorf("%s: %s = %q is not among %v", r.file, name, values[0], allowed)
			}
		}
	}
}

func formFields(t *testing.T, r goldenRequest) map[string][]string {
	t.Helper()
	_, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string][]string{}
	form := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			return fields
		}
		if err != nil {
			t.Fatalf("%s: %v", r.file, err)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		fields[part.FormName()] = append(fields[part.FormName()], string(b))
	}
}
