package config

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
	"mailhatch/upstream/kinds"
)

// writeCertificate makes cert.pem and key.pem in dir.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// exampleConfig returns config.example.toml with its optional keys on and its paths in a temporary folder.
func exampleConfig(t *testing.T, optional bool) string {
	t.Helper()
	b, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeCertificate(t, dir)
	writeFile(t, filepath.Join(dir, "sendgrid.key"), "SG.dummy\n")
	for _, name := range []string{"mailgun", "postal", "cloudflare", "sparkpost", "mandrill"} {
		writeFile(t, filepath.Join(dir, name), "key-dummy")
	}
	ca, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "google.json"), serviceAccount(t))
	writeFile(t, filepath.Join(dir, "clients.pem"), string(ca))
	writeFile(t, filepath.Join(dir, "aliases"), "postmaster: root\n")
	t.Setenv("RESEND_API_KEY", "re_dummy")
	t.Setenv("MAILHATCH_HOOK_SECRET", "dummy")
	t.Setenv("RELAY_PASSWORD", "dummy")
	t.Setenv("POSTMARK_SERVER_TOKEN", "dummy")
	t.Setenv("BREVO_API_KEY", "dummy")
	t.Setenv("ENTRA_SECRET", "dummy")
	t.Setenv("DATABASE_URL", "postgres:///mailhatch")
	t.Setenv("JMAP_TOKEN", "dummy")
	t.Setenv("ALERT_SECRET", "dummy")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "dummy")
	t.Setenv("AWS_SESSION_TOKEN", "dummy")
	writeFile(t, filepath.Join(dir, "aws"), "[mail]\naws_access_key_id = a\naws_secret_access_key = b\n")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "aws"))
	t.Setenv("PRINTER_PASSWORD", "dummy")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	text := string(b)
	if optional {
		text = regexp.MustCompile(`(?m)^#([a-z_]+ = )`).ReplaceAllString(text, "$1")
	}
	slash := filepath.ToSlash(dir)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		"/etc/mailhatch/tls/", slash+"/", "/etc/mailhatch/sendgrid.key", slash+"/sendgrid.key", "/etc/mailhatch/google.json", slash+"/google.json",
		"socket_group = \"mail\"", "socket_group = \"0\"", "monitor_group = \"nagios\"", "monitor_group = \"0\"", "/etc/aliases", slash+"/aliases", "/var/lib/mailhatch", slash+"/state", "/run/mailhatch", slash+"/run",
		"/usr/local/bin/tell-operators", filepath.ToSlash(program), "/etc/ssl/proxy-ca.pem", slash+"/cert.pem", "/etc/ssl/relay-ca.pem", slash+"/cert.pem",
	).Replace(text)
}

// serviceAccount is a key as Google hands it out.
func serviceAccount(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@b.example",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(account)
}

func TestExampleLoads(t *testing.T) {
	for _, optional := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "mailhatch.toml")
		writeFile(t, path, exampleConfig(t, optional))
		cfg, err := Load(path, Options{Kinds: kinds.Kinds(), Stdout: os.Stdout})
		if err != nil {
			t.Fatalf("optional keys %v:\n%v", optional, err)
		}
		if len(cfg.Upstreams) < len(kinds.Kinds()) || len(cfg.Listeners) != 3 || cfg.Upstreams[0].Name != "main" {
			t.Errorf("optional keys %v: %d upstreams, %d listeners", optional, len(cfg.Upstreams), len(cfg.Listeners))
		}
		// Some upstreams are there to be shown only.
		for _, w := range cfg.Warnings {
			if !strings.Contains(w, ": no route") && !strings.Contains(w, " of preset ") {
				t.Errorf("warning: %s", w)
			}
		}
		if err := cfg.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPackagedConfigs: packages and the container start as they are, and keep mail until an upstream is set up.
func TestPackagedConfigs(t *testing.T) {
	// As the image sets them.
	image, err := os.ReadFile("../../packaging/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(MAILHATCH_\w+)=(?:"([^"]*)"|(\S+))`).FindAllStringSubmatch(string(image), -1) {
		if m[1] != "MAILHATCH_UPSTREAM" {
			t.Setenv(m[1], m[2]+m[3])
		}
	}
	for _, path := range []string{"../../packaging/config.toml", "../../packaging/container.toml"} {
		cfg, err := Load(path, Options{Kinds: kinds.Kinds(), Stdout: os.Stdout})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if d := cfg.Routes.Decide(&route.Input{Envelope: &envelope.Envelope{}, To: "root@box.example.com"}); d.Action != route.Hold || d.Name != "kept until an upstream is set up" {
			t.Errorf("%s: %+v", path, d)
		}
		if cfg.StateDir != packagedStateDir || cfg.RunDir != packagedRunDir {
			t.Errorf("%s: %s, %s", path, cfg.StateDir, cfg.RunDir)
		}
		if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "upstream: there is none: mail waits") {
			t.Errorf("%s: %q", path, cfg.Warnings)
		}
		if err := cfg.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestKubernetesConfig: what the ConfigMap of the gateways on one queue has is a config without faults.
func TestKubernetesConfig(t *testing.T) {
	manifest, err := os.ReadFile("../../packaging/kubernetes-postgres.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^  config\.toml: \|\n((?:    .*\n|\n)+)`).FindSubmatch(manifest)
	if text == nil {
		t.Fatal("there is no config.toml in it")
	}
	for name, value := range map[string]string{"MAILHATCH_ALLOW": "10.0.0.0/8", "DATABASE_URL": "postgres://postgres/mailhatch", "API_KEY": "re_1"} {
		t.Setenv(name, value)
	}
	path := filepath.Join(t.TempDir(), "mailhatch.toml")
	writeFile(t, path, string(text[1]))
	cfg, err := Load(path, Options{Kinds: kinds.Kinds(), Stdout: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Queue.Engine != "postgres" || len(cfg.Warnings) > 0 || cfg.StateDir != packagedStateDir || cfg.RunDir != packagedRunDir {
		t.Errorf("engine %s, directories %s and %s, warnings %q", cfg.Queue.Engine, cfg.StateDir, cfg.RunDir, cfg.Warnings)
	}
	if err := cfg.Close(); err != nil {
		t.Error(err)
	}
}

func TestExampleShowsEveryKey(t *testing.T) {
	var root map[string]any
	if _, err := toml.Decode(exampleConfig(t, true), &root); err != nil {
		t.Fatal(err)
	}
	checkTags(t, "", reflect.TypeFor[document](), []map[string]any{root})

	byType := map[string][]map[string]any{}
	var all []map[string]any
	for _, v := range root["upstream"].(map[string]any) {
		table := v.(map[string]any)
		kind := table["type"].(string)
		byType[kind] = append(byType[kind], table)
		all = append(all, table)
	}
	checkTags(t, "upstream", reflect.TypeFor[upstreamTable](), all)
	// What all APIs have is shown once.
	shared, main := map[string]any{}, root["upstream"].(map[string]any)["main"].(map[string]any)
	for _, key := range []string{"base_url", "timeout", "ca_file", "bind", "on_lossy", "pass_control_headers", "events"} {
		shared[key] = main[key]
	}
	for _, k := range kinds.Kinds() {
		tables := byType[k.Name]
		if !slices.Contains([]string{"smtp", "console", "memory", "file"}, k.Name) {
			tables = append(tables, shared)
		}
		checkTags(t, "upstream of type "+k.Name, reflect.TypeOf(k.New()).Elem(), tables)
	}
}

// checkTags wants each key of a struct in at least one of the tables.
func checkTags(t *testing.T, where string, typ reflect.Type, tables []map[string]any) {
	t.Helper()
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if tag == "" {
			if f.Anonymous {
				checkTags(t, where, f.Type, tables)
			}
			continue
		}
		var inner []map[string]any
		found := false
		for _, table := range tables {
			v, ok := table[tag]
			found = found || ok
			switch v := v.(type) {
			case map[string]any:
				inner = append(inner, v)
			case []map[string]any:
				inner = append(inner, v...)
			}
		}
		if !found {
			t.Errorf("config.example.toml does not show %s %s", where, tag)
		}
		elem := f.Type
		if elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct && len(inner) > 0 {
			checkTags(t, where+"."+tag, elem, inner)
		}
	}
}
