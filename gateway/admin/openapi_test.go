package admin

import (
	"bytes"
	"encoding"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/openapi"
	"mailhatch/gateway/admin/suppressed"
)

// description is openapi.yaml, read once.
var description = sync.OnceValues(func() (*described3, error) {
	doc, err := libopenapi.NewDocument([]byte(openapi.Text()))
	if err != nil {
		return nil, err
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc, config.WithoutSecurityValidation(), config.WithStrictMode(), config.WithFormatAssertions())
	return &described3{v, &model.Model, sync.Mutex{}}, errors.Join(errs...)
})

type described3 struct {
	validator.Validator
	doc *v3.Document
	mu  sync.Mutex // it is not said to be good for several goroutines
}

// described is a transport that holds every answer of the API against its description, and every request that was followed.
type described struct {
	t *testing.T
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (d described) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil || strings.HasPrefix(r.URL.Path, "/api/v1/login/") { // that goes on for as long as a person takes
		return resp, err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	d.compare(r, sent, resp, got)
	resp.Body = io.NopCloser(bytes.NewReader(got))
	return resp, nil
}

func (d described) compare(r *http.Request, sent []byte, resp *http.Response, got []byte) {
	written, err := description()
	if err != nil {
		d.t.Error(err)
		return
	}
	written.mu.Lock()
	defer written.mu.Unlock()
	asked := r.Clone(r.Context())
	if asked.Header = (http.Header{}); len(sent) > 0 { // what transports and browsers add is not of the API
		asked.Header.Set("Content-Type", "application/json")
	}
	asked.Body = io.NopCloser(bytes.NewReader(sent))
	answer := &http.Response{StatusCode: resp.StatusCode, Header: http.Header{"Content-Type": resp.Header["Content-Type"]}, Body: io.NopCloser(bytes.NewReader(got))}
	var errs []*validation.ValidationError
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400, code >= 400 && !knows(written.doc, r):
		return
	case code >= 400 || resp.Header.Get("Content-Type") != "application/json":
		_, errs = written.ValidateHttpResponse(asked, answer)
	default:
		_, errs = written.ValidateHttpRequestResponse(asked, answer)
	}
	for _, e := range errs {
		d.t.Errorf("openapi.yaml: %s %s → %d %.300s: %v %s", r.Method, r.URL, resp.StatusCode, got, e, reasonsOf(e))
	}
}

func reasonsOf(e *validation.ValidationError) string {
	var list []string
	for _, s := range e.SchemaValidationErrors {
		list = append(list, s.Reason)
	}
	return strings.Join(list, "; ")
}

// knows reports whether a request is one of the description.
func knows(doc *v3.Document, r *http.Request) bool {
	for path, item := range doc.Paths.PathItems.FromOldest() {
		pattern, steps := strings.Split(path, "/"), strings.Split(r.URL.EscapedPath(), "/")
		same := func(a, b string) bool { return a == b || strings.HasPrefix(a, "{") && b != "" }
		if slices.EqualFunc(pattern, steps, same) && item.GetOperations().GetOrZero(strings.ToLower(r.Method)) != nil {
			return true
		}
	}
	return false
}

// TestEveryRouteIsDescribed: openapi.yaml has each request that is answered, with who may make it, and no other.
func TestEveryRouteIsDescribed(t *testing.T) {
	written, err := description()
	if err != nil {
		t.Fatal(err)
	}
	if ok, errs := written.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Errorf("%v %s", e, reasonsOf(e))
		}
	}
	want := map[string]string{"GET /healthz": "everybody", "GET /readyz": "everybody", "GET /metrics": "everybody"}
	names := map[access.Level]string{access.Anybody: "everybody", access.Program: "token", access.Person: "person", access.Owner: "socket"}
	for _, r := range New(Config{Queue: newFake()}).routes(t.Context()) {
		actions := []string{""} // that stand in place of {action}
		switch r.pattern {
		case "POST /api/v1/queue/{action}":
			actions = []string{string(api.Retry), string(api.Hold), string(api.Release), string(api.Delete), string(api.Move)}
		case "POST /api/v1/upstream/{name}/{action}":
			actions = []string{string(api.Pause), string(api.Resume), string(api.Probe)}
		}
		for _, action := range actions {
			want[strings.Replace(r.pattern, "{action}", action, 1)] = names[r.level]
		}
	}
	security := map[string]string{"everybody": "", "token": "token or session", "person": "session", "socket": ""}
	for path, item := range written.doc.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			route := strings.ToUpper(method) + " " + path
			got := ""
			if node := op.Extensions.GetOrZero("x-access"); node != nil {
				got = node.Value
			}
			if got != want[route] {
				t.Errorf("%s: x-access is %q, want %q (empty: it is not answered)", route, got, want[route])
			}
			if logins := loginsOf(written.doc, op); logins != security[got] {
				t.Errorf("%s: its security is %q, want %q", route, logins, security[got])
			}
			delete(want, route)
		}
	}
	for route := range want {
		t.Errorf("%s is not in openapi.yaml", route)
	}
}

// loginsOf names what an operation can be asked with.
func loginsOf(doc *v3.Document, op *v3.Operation) string {
	list := op.Security
	if list == nil {
		list = doc.Security
	}
	var names []string
	for _, need := range list {
		if need.Requirements == nil {
			continue
		}
		names = append(names, slices.Collect(need.Requirements.KeysFromOldest())...)
	}
	return strings.Join(names, " or ")
}

// TestEveryFieldIsDescribed: the schemas have each field of the types that are answered and asked for, and no other.
func TestEveryFieldIsDescribed(t *testing.T) {
	written, err := description()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]reflect.Type{"Error": reflect.TypeFor[api.Failure]()}
	for _, root := range []any{api.Status{}, api.Page{}, api.Log{}, api.Recent{}, api.Selection{}, api.Changed{}, api.Kept{}, api.Checked{}, api.LoginStep{}, api.Reloaded{}, api.Link{}, api.Resend{}, api.Resent{}, api.AlertTests{},
		suppressed.Suppressions{}, suppressed.Addition{}, suppressed.Removal{}, suppressed.Import{}, suppressed.Added{}, suppressed.Removed{}} {
		collectTypes(reflect.TypeOf(root), types)
	}
	for name, schema := range written.doc.Components.Schemas.FromOldest() {
		if s := schema.Schema(); s.Properties == nil && len(s.Enum) > 0 {
			continue
		}
		typ := types[name]
		if typ == nil {
			t.Errorf("%s is no type that is answered or asked for", name)
			continue
		}
		delete(types, name)
		compareFields(t, name, schema.Schema(), typ)
	}
	for name := range types {
		t.Errorf("%s is not in the schemas of openapi.yaml", name)
	}
}

// collectTypes finds the structs that JSON of a type has, by name.
func collectTypes(t reflect.Type, into map[string]reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectTypes(t.Elem(), into)
	case reflect.Struct:
		if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || into[t.Name()] != nil {
			return // text in JSON
		}
		into[t.Name()] = t
		for i := range t.NumField() {
			collectTypes(t.Field(i).Type, into)
		}
	}
}

// compareFields holds the properties of a schema against the fields of a struct: those that JSON always has are required.
func compareFields(t *testing.T, name string, schema *base.Schema, typ reflect.Type) {
	t.Helper()
	properties := map[string]bool{}
	if schema.Properties != nil {
		for p := range schema.Properties.KeysFromOldest() {
			properties[p] = true
		}
	}
	for i := range typ.NumField() {
		field, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if field == "-" {
			continue
		}
		if !properties[field] {
			t.Errorf("%s has no property %s", name, field)
		}
		delete(properties, field)
		if always := options == ""; always != slices.Contains(schema.Required, field) {
			t.Errorf("%s: %s is always there: %v", name, field, always)
		}
	}
	for p := range maps.Keys(properties) {
		t.Errorf("%s has no field %s", typ, p)
	}
}

// TestDescription: it is there for everybody.
func TestDescription(t *testing.T) {
	_, address := start(t, Config{Queue: newFake()})
	if status, body := get(t, "http://"+address+"/api/v1/openapi.yaml"); status != http.StatusOK || !strings.HasPrefix(body, "openapi: 3.1") {
		t.Errorf("%d %.40s", status, body)
	}
}
