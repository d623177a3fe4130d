package mime

import "strings"

// shownIDs gives the content ids that cid: URLs of an HTML text name (RFC 2392 2).
func shownIDs(html string) map[string]bool {
	ids := map[string]bool{}
	for {
		_, rest, found := strings.Cut(html, "cid:")
		if !found {
			return ids
		}
		html = rest
		end := strings.IndexAny(rest[:min(len(rest), 500)], "\"'<>) \t\r\n\\")
		if end > 0 {
			ids[rest[:end]] = true
			ids[string(percentDecode(rest[:end]))] = true
		}
	}
}
