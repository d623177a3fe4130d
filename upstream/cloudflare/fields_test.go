package cloudflare

import (
	"fmt"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// TestFields: what becomes of a header field.
func TestFields(t *testing.T) {
	const head = "From: App <a@example.com>\r\nMessage-ID: <m@x>\r\n"
	long := strings.Repeat("x", maxValue-4)
	ids := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("<%035d@x>", i))
		}
		return strings.Join(list, "\r\n ")
	}
	for _, row := range []struct{ name, fields, want string }{
		{"usual ones", "To: b@x\r\nSubject: s\r\nReply-To: c@x\r\nContent-Type: text/plain\r\n", "To: b@x\nSubject: s\nReply-To: c@x\nContent-Type: text/plain\n"},
		{"on the list", "List-Id: <l.x>\r\nkeywords: a\r\nX-Any_1: 2\r\n", "List-Id: <l.x>\nkeywords: a\nX-Any_1: 2\n"},
		{"of the way", "Received: x\r\nDKIM-Signature: v=1\r\nARC-Seal: i=1\r\nDelivered-To: b@x\r\nresent-from: c@x\r\nCFBL-Address: d@x\r\nUser-Agent: u\r\nThread-Index: t\r\n", ""},
		{"another", "Mail-Followup-To: l@x\r\n", "! does not take the field Mail-Followup-To"},
		{"a Sender that is From", "Sender: Robot <A@example.com>\r\n", ""},
		{"another Sender", "Sender: r@example.com\r\n", "! does not take the field Sender"},
		{"a wish for a receipt", "Disposition-Notification-To: a@x\r\n", "! Disposition-Notification-To"},
		{"values", "Auto-Submitted: Auto-Generated; owner-email=\"a@x\"\r\nImportance: High (!)\r\nPriority: urgent\r\nSensitivity: Company-Confidential\r\nPrecedence: Bulk\r\n",
			"Auto-Submitted: auto-generated\nImportance: high\nPriority: urgent\nSensitivity: company-confidential\nPrecedence: bulk\n"},
		{"needless values", "Auto-Submitted: no\r\nPrecedence: first-class\r\nSensitivity: Normal\r\n", ""},
		{"other values", "Priority: 1\r\n", "! Priority is \"1\"; Cloudflare takes normal, non-urgent, urgent"},
		{"one click", "List-Unsubscribe: <https://x/u>, <mailto:u@x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
			"List-Unsubscribe: <https://x/u>, <mailto:u@x>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"},
		{"one click by mail", "List-Unsubscribe: <mailto:u@x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "List-Unsubscribe: <mailto:u@x>\n"},
		{"unsubscribe in clear", "List-Unsubscribe: <http://x/u>, <mailto:u@x>\r\n", "! only https: and mailto:"},
		{"unsubscribe by words", "List-Unsubscribe: ask us\r\n", "! only https: and mailto:"},
		{"several", "Comments: a\r\nKeywords: k\r\nComments: b\r\n", "Comments: a, b\nKeywords: k\n"},
		{"empty", "X-Empty:\r\nX-Full: 1\r\nComments: \r\nx-empty: \r\n", "X-Full: 1\n"},
		{"long", "X-Long: " + long + "\r\n", "X-Long: " + long + "\n"},
		{"too long", "X-Long: " + long + " 1234\r\n", "! X-Long has 2049 bytes"},
		{"a long name", "X-" + strings.Repeat("n", 99) + ": 1\r\n", "! has 101 bytes"},
		{"an odd name", "X-a.b: 1\r\n", "! X-a.b"},
		{"References", "References: " + ids(60) + "\r\n", "References: <" + strings.Repeat("0", 35) + "@x> <"},
		{"one long reference", "References: <" + long + long + "@x> <b@x>\r\n", "! References has"},
		{"twenty", strings.Repeat("Keywords: k\r\n", 30), "Keywords: k, k"},
		{"many", strings.Repeat("Archived-At: <https://x/>\r\n", 20), "! 21 fields"},
		{"large", strings.Repeat("X-Large: "+long[:1000]+"\r\n", 17), "! bytes beside the usual"},
		{"many empty ones", func() string {
			var b strings.Builder
			for i := range 50 {
				fmt.Fprintf(&b, "X-%d:\r\n", i)
			}
			return b.String()
		}(), "! is empty"},
	} {
		t.Run(row.name, func(t *testing.T) {
			msg := upstreamtest.ParseMessage(t, head+row.fields+"\r\nbody\r\n")
			m := &upstream.Mail{ID: "Q", Message: msg, To: []upstream.Recipient{{Address: "b@x.example"}}}
			src, e := form().Message(m)
			words, fails := strings.CutPrefix(row.want, "! ")
			if e != nil {
				if !fails || e.Class != upstream.Unrepresentable || !strings.Contains(e.Error(), words) {
					t.Errorf("%v, want %s", e, row.want)
				}
				return
			}
			out, err := mime.Parse(src)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, f := range out.Header[2:] {
				if f.Name != "X-Original-Message-ID" && strings.TrimSpace(f.Value()) != "<m@x>" { // the id, which is put in
					got.WriteString(f.Name + ": " + strings.TrimSpace(f.Value()) + "\n")
				}
			}
			if strings.HasPrefix(row.want, "References") || row.name == "twenty" {
				if v := out.Header[2].Value(); !strings.HasPrefix(got.String(), row.want) || len(v) > maxValue || len(v) < maxValue-100 && row.name != "twenty" || row.name != "twenty" && !strings.HasSuffix(v, "59@x> <m@x>") {
					t.Errorf("%d bytes: %s", len(v), v)
				}
				return
			}
			if fails || got.String() != row.want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), row.want)
			}
		})
	}
}
