package accept

import (
	"mailhatch/gateway/envelope"
	"strings"
	"testing"
)

func TestCheckEnvelope(t *testing.T) {
	one := func(r envelope.Recipient) envelope.Envelope { return envelope.Envelope{To: []envelope.Recipient{r}} }
	for _, c := range []struct {
		name string
		env  envelope.Envelope
		want string // "" when it is good
	}{
		{"bare names", envelope.Envelope{From: "root", To: []envelope.Recipient{{Address: "ann", Notify: []string{"FAILURE", "DELAY"}}}, Ret: "FULL", Body: "7BIT", EnvID: "x y"}, ""},
		{"the null sender", one(envelope.Recipient{Address: "a@example.org"}), ""},
		{"sender", envelope.Envelope{From: "a b@c d"}, "sender"},
		{"notify", one(envelope.Recipient{Address: "a@b", Notify: []string{"ALWAYS"}}), "notify"},
		{"ret", envelope.Envelope{Ret: "ALL"}, "ret"},
		{"body", envelope.Envelope{Body: "BINARYMIME"}, "body"},
		{"envid", envelope.Envelope{EnvID: "x\ny"}, "envid"},
		{"long envid", envelope.Envelope{EnvID: strings.Repeat("x", 101)}, "envid"},
	} {
		_, err := checkEnvelope(&c.env, "example.com")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	env := one(envelope.Recipient{Address: "ann", Given: "forged", ORcpt: "forged"})
	if _, err := checkEnvelope(&env, "example.com"); err != nil || env.To[0].Address != "ann@example.com" || env.To[0].Given != "ann" || env.To[0].ORcpt != "" {
		t.Errorf("%+v, %v", env, err)
	}
	env = envelope.Envelope{To: []envelope.Recipient{{Address: "a@b>\r\nDATA"}, {Address: "ann@example.org"}, {Address: "\xff" + strings.Repeat("x", 1000) + "@"}}}
	bad, err := checkEnvelope(&env, "example.com")
	if err != nil || len(bad) != 2 || len(env.To) != 1 || env.To[0].Address != "ann@example.org" || bad[0].State != envelope.Failed {
		t.Errorf("%+v, %+v, %v", env.To, bad, err)
	}
}
