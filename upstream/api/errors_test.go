package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

const plainMessage = "From: App <app@example.com>\nTo: ann@example.org\nSubject: s\nMessage-ID: <m@example.com>\n\nbody\n"

// start opens a kind against a fake of its own.
func start(t *testing.T, kind, settings string) (upstream.Upstream, *upstreamtest.Server) {
	t.Helper()
	for _, k := range apiKinds {
		if k.name == kind {
			fake := k.fake()
			t.Cleanup(fake.Close)
			return mustOpen(t, kind, k.with(apiKey)+"base_url = '"+fake.URL+"'\n"+settings), fake
		}
	}
	t.Fatalf("no fake of %s", kind)
	return nil, nil
}

func asError(t *testing.T, err error) *upstream.Error {
	t.Helper()
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		t.Fatalf("%T is no *upstream.Error: %v", err, err)
	}
	if strings.Contains(e.Error(), apiKey) {
		t.Errorf("the key is in %v", e)
	}
	return e
}

type errorRow struct {
	status int
	header string // "Name: value"
	body   string
	class  upstream.Class
	code   string
	wait   time.Duration
	sender bool
	words  string
}

func resendBody(name, message string) string {
	return fmt.Sprintf(`{"statusCode":1,"name":%q,"message":%q}`, name, message)
}

func sendgridBody(message string) string {
	return fmt.Sprintf(`{"errors":[{"message":%q,"field":null,"help":null}]}`, message)
}

func mailgunBody(message string) string { return fmt.Sprintf(`{"message":%q}`, message) }

func postalBody(code, message string) string {
	return fmt.Sprintf(`{"status":"error","time":0.1,"flags":{},"data":{"code":%q,"message":%q}}`, code, message)
}

func brevoBody(code, message string) string {
	return fmt.Sprintf(`{"code":%q,"message":%q}`, code, message)
}

func postmarkBody(code int, message string) string {
	return fmt.Sprintf(`{"ErrorCode":%d,"Message":%q}`, code, message)
}

func graphBody(code, message string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innerError":{"request-id":"r"}}}`, code, message)
}

func gmailBody(reason, message string) string {
	return fmt.Sprintf(`{"error":{"code":1,"message":%q,"errors":[{"message":%[1]q,"domain":"global","reason":%q}],"status":"X"}}`, message, reason)
}

func sesBody(message string) string { return fmt.Sprintf(`{"message":%q}`, message) }

// errorRows are the rows of every provider's documentation, and what others answer in its place.
var errorRows = map[string][]errorRow{
	"cloudflare": cloudflareRows[:], "sparkpost": sparkpostRows[:], "mandrill": mandrillRows[:], "jmap": jmapRows[:],
	"resend": {
		{status: 400, body: resendBody("validation_error", "bad"), class: upstream.Permanent, code: "validation_error"},
		{status: 400, body: resendBody("validation_error", "API key is invalid"), class: upstream.Account, code: "validation_error"},
		{status: 400, body: resendBody("invalid_idempotency_key", "bad"), class: upstream.Permanent},
		{status: 401, body: resendBody("missing_api_key", "no key"), class: upstream.Account},
		{status: 401, body: resendBody("restricted_api_key", "sending only"), class: upstream.Account},
		{status: 403, body: resendBody("invalid_api_key", "API key "+apiKey+" is invalid"), class: upstream.Account, words: "***"},
		{status: 403, body: resendBody("suspended_api_key", "x"), class: upstream.Account},
		{status: 403, body: resendBody("validation_error", "The example.com domain is not verified."), class: upstream.Account, sender: true, words: "not verified"},
		{status: 404, body: resendBody("not_found", "x"), class: upstream.Account},
		{status: 405, body: resendBody("method_not_allowed", "x"), class: upstream.Account},
		{status: 409, body: resendBody("concurrent_idempotent_requests", "x"), class: upstream.Uncertain, wait: 5 * time.Second},
		{status: 409, body: resendBody("invalid_idempotent_request", "x"), class: upstream.Uncertain},
		{status: 409, body: resendBody("resource_locked", "x"), class: upstream.Temporary},
		{status: 413, body: "", class: upstream.Unrepresentable, code: "5.3.4", words: "Too Large"},
		{status: 422, body: resendBody("validation_error", "The email size exceeds the limit of 40MB."), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 422, body: resendBody("missing_required_field", "x"), class: upstream.Permanent},
		{status: 422, body: resendBody("invalid_attachment", "x"), class: upstream.Permanent},
		{status: 422, body: resendBody("invalid_from_address", "x"), class: upstream.Permanent},
		{status: 422, body: resendBody("invalid_access", "x"), class: upstream.Account},
		{status: 422, body: resendBody("invalid_region", "x"), class: upstream.Account},
		{status: 422, body: resendBody("validation_error", "Invalid `to` field."), class: upstream.Permanent, code: "5.1.3"},
		{status: 422, body: "<html>proxy</html>", class: upstream.Temporary},
		{status: 429, header: "Retry-After: 2", body: resendBody("rate_limit_exceeded", "x"), class: upstream.Throttled, wait: 2 * time.Second},
		{status: 429, header: "Ratelimit-Reset: 7", body: resendBody("rate_limit_exceeded", "x"), class: upstream.Throttled, wait: 7 * time.Second},
		{status: 429, header: "Retry-After: 1", body: resendBody("daily_quota_exceeded", "x"), class: upstream.Throttled, wait: 2 * time.Hour},
		{status: 429, body: resendBody("monthly_quota_exceeded", "x"), class: upstream.Throttled, wait: 12 * time.Hour},
		{status: 451, body: resendBody("security_error", "x"), class: upstream.Permanent, code: "5.7.1"},
		{status: 500, body: resendBody("application_error", "x"), class: upstream.Temporary},
		{status: 503, header: "Retry-After: 30", body: resendBody("service_unavailable", "x"), class: upstream.Temporary, wait: 30 * time.Second},
		{status: 502, body: resendBody("application_error", "x"), class: upstream.Temporary},
		{status: 504, body: resendBody("application_error", "x"), class: upstream.Uncertain},
		{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
		{status: 200, body: "{}", class: upstream.Uncertain},
		{status: 200, body: "", class: upstream.Uncertain},
	},
	"sendgrid": {
		{status: 400, body: sendgridBody("bad"), class: upstream.Permanent, words: "bad"},
		{status: 400, body: "The plain HTTP request was sent to HTTPS port", class: upstream.Temporary, words: "plain HTTP"},
		{status: 401, body: sendgridBody("The provided authorization grant is invalid, expired, or revoked"), class: upstream.Account},
		{status: 401, body: sendgridBody("Maximum credits exceeded"), class: upstream.Throttled, code: "quota_exceeded", wait: 3 * time.Hour},
		{status: 403, body: sendgridBody("access forbidden"), class: upstream.Account},
		{status: 403, body: sendgridBody("Too many bad requests. Temporary block."), class: upstream.Account, wait: time.Hour},
		{status: 403, body: sendgridBody("The from address does not match a verified Sender Identity."), class: upstream.Account, sender: true},
		{status: 404, body: "", class: upstream.Account}, {status: 405, class: upstream.Account},
		{status: 406, body: "", class: upstream.Account}, {status: 415, class: upstream.Account},
		{status: 413, body: sendgridBody("Payload Too Large"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 400, body: sendgridBody("The total size of your email must not exceed 30MB"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 429, header: "X-RateLimit-Reset: 1770000060", body: sendgridBody("too many requests"), class: upstream.Throttled, wait: 60 * time.Second},
		{status: 451, body: sendgridBody("data residency"), class: upstream.Account},
		{status: 500, body: sendgridBody("x"), class: upstream.Temporary}, {status: 503, class: upstream.Temporary},
		{status: 200, body: "", class: upstream.Account, words: "sandbox"},
		{status: 204, body: "", class: upstream.Uncertain},
		{status: 200, body: "<html><title>Sign in to the Wi-Fi</title></html>", class: upstream.Uncertain, words: "Wi-Fi"},
		{status: 202, body: "<html><title>Sign in</title></html>", class: upstream.Uncertain},
		{status: 502, body: sendgridBody("x"), class: upstream.Temporary},
	},
	"ses": {
		{status: 400, header: "X-Amzn-Errortype: MessageRejected:http://x/", body: sesBody("Email address is not verified. The following identities failed the check in region US-EAST-1: app@example.com"), class: upstream.Account, sender: true},
		{status: 400, header: "X-Amzn-Errortype: MessageRejected", body: sesBody("Message failed a virus check"), class: upstream.Permanent, code: "5.6.0"},
		{status: 400, header: "X-Amzn-Errortype: MailFromDomainNotVerifiedException", body: sesBody("x"), class: upstream.Account, sender: true},
		{status: 400, header: "X-Amzn-Errortype: AccountSuspendedException", body: sesBody("x"), class: upstream.Account},
		{status: 400, header: "X-Amzn-Errortype: SendingPausedException", body: sesBody("x"), class: upstream.Account},
		{status: 400, header: "X-Amzn-Errortype: LimitExceededException", body: sesBody("Daily message quota exceeded"), class: upstream.Throttled, wait: time.Hour},
		{status: 429, header: "X-Amzn-Errortype: TooManyRequestsException", body: sesBody("Maximum sending rate exceeded."), class: upstream.Throttled, wait: time.Second},
		{status: 429, header: "X-Amzn-Errortype: TooManyRequestsException", body: sesBody("Daily message quota exceeded."), class: upstream.Throttled, wait: time.Hour},
		{status: 400, body: `{"__type":"com.amazonaws#ThrottlingException","message":"Rate exceeded"}`, class: upstream.Throttled, code: "ThrottlingException", wait: time.Second},
		{status: 404, header: "X-Amzn-Errortype: NotFoundException", body: sesBody("Configuration set <x> does not exist."), class: upstream.Account},
		{status: 400, header: "X-Amzn-Errortype: BadRequestException", body: sesBody("Illegal address"), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, header: "X-Amzn-Errortype: BadRequestException", body: sesBody("Local part contains control or whitespace"), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, header: "X-Amzn-Errortype: BadRequestException", body: sesBody("x"), class: upstream.Permanent},
		{status: 400, header: "X-Amzn-Errortype: SomethingNewException", body: sesBody("x"), class: upstream.Temporary},
		{status: 403, header: "X-Amzn-Errortype: SignatureDoesNotMatch", body: sesBody("The key " + apiKey + " does not match"), class: upstream.Account, words: "***"},
		{status: 400, header: "X-Amzn-Errortype: ExpiredTokenException", body: sesBody("x"), class: upstream.Account},
		{status: 403, header: "X-Amzn-Errortype: AccessDeniedException", body: sesBody("x"), class: upstream.Account},
		{status: 500, header: "X-Amzn-Errortype: InternalFailure", body: sesBody("x"), class: upstream.Temporary},
		{status: 503, header: "X-Amzn-Errortype: ServiceUnavailable", body: sesBody("x"), class: upstream.Temporary},
		{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
		{status: 200, body: "{}", class: upstream.Uncertain},
	},
	"postal": {
		{status: 200, body: postalBody("InvalidServerAPIKey", "The API token "+apiKey+" was not valid."), class: upstream.Account, words: "***"},
		{status: 200, body: postalBody("AccessDenied", "Must be authenticated as a server."), class: upstream.Account},
		{status: 200, body: postalBody("ServerSuspended", "x"), class: upstream.Account},
		{status: 200, body: postalBody("UnauthenticatedFromAddress", "x"), class: upstream.Account, sender: true},
		{status: 200, body: postalBody("NoRecipients", "x"), class: upstream.Permanent, code: "5.1.3"},
		{status: 200, body: postalBody("ValidationError", "Invalid address"), class: upstream.Permanent, code: "5.1.3"},
		{status: 200, body: postalBody("ValidationError", "The message could not be read"), class: upstream.Permanent},
		{status: 200, body: `{"status":"parameter-error","data":{"message":"rcpt_to is required"}}`, class: upstream.Permanent, code: "ValidationError"},
		{status: 200, body: postalBody("SomethingNew", "x"), class: upstream.Temporary},
		{status: 200, body: postalBody("InternalServerError", "x"), class: upstream.Temporary},
		{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
		{status: 200, body: `{"status":"success"}`, class: upstream.Uncertain},
		{status: 500, body: postalBody("InternalServerError", "x"), class: upstream.Temporary},
	},
	"brevo": {
		{status: 401, body: brevoBody("unauthorized", "Key not found: "+apiKey), class: upstream.Account, code: "unauthorized", words: "***"},
		{status: 401, body: brevoBody("unauthorized", "We have detected you are using an unrecognised IP address 192.0.2.1."), class: upstream.Account},
		{status: 402, body: brevoBody("not_enough_credits", "You do not have enough credits"), class: upstream.Account},
		{status: 400, body: brevoBody("not_enough_credits", "x"), class: upstream.Account},
		{status: 403, body: brevoBody("permission_denied", "Unable to send email. Your SMTP account is not yet activated."), class: upstream.Account},
		{status: 400, body: brevoBody("permission_denied", "x"), class: upstream.Account},
		{status: 402, body: brevoBody("account_under_validation", "x"), class: upstream.Account},
		{status: 400, body: brevoBody("account_under_validation", "x"), class: upstream.Account},
		{status: 403, body: brevoBody("reseller_permission_denied", "x"), class: upstream.Account},
		{status: 404, body: brevoBody("document_not_found", "x"), class: upstream.Account},
		{status: 405, body: brevoBody("method_not_allowed", "x"), class: upstream.Account},
		{status: 406, body: brevoBody("not_acceptable", "x"), class: upstream.Account},
		{status: 400, body: brevoBody("invalid_parameter", "Sender app@example.com is not valid"), class: upstream.Account, sender: true},
		{status: 400, body: brevoBody("invalid_parameter", "email is not valid in to"), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, body: brevoBody("invalid_parameter", "email is not valid in bcc"), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, body: brevoBody("invalid_parameter", "'content' is not valid in attachment"), class: upstream.Unrepresentable, code: "5.6.1"},
		{status: 400, body: brevoBody("invalid_parameter", "Unsupported file format"), class: upstream.Unrepresentable, code: "5.6.1"},
		{status: 400, body: brevoBody("invalid_parameter", "The message exceeds the size of 20 MB"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 400, body: brevoBody("invalid_parameter", "x"), class: upstream.Permanent, code: "invalid_parameter"},
		{status: 400, body: brevoBody("out_of_range", "x"), class: upstream.Permanent},
		{status: 400, body: brevoBody("missing_parameter", "subject is missing"), class: upstream.Unrepresentable},
		{status: 400, body: brevoBody("bad_request", "Input must be a valid JSON"), class: upstream.Unrepresentable},
		{status: 400, body: brevoBody("duplicate_parameter", "Duplicate idempotencyKey"), class: upstream.Temporary},
		{status: 400, body: brevoBody("duplicate_request", "x"), class: upstream.Temporary},
		{status: 400, body: "<html>", class: upstream.Temporary},
		{status: 413, body: "", class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 429, header: "X-Sib-Ratelimit-Reset: 17", body: brevoBody("too_many_requests", "x"), class: upstream.Throttled, wait: 17 * time.Second},
		{status: 500, body: brevoBody("internal_error", "x"), class: upstream.Temporary},
		{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
		{status: 201, body: "{}", class: upstream.Uncertain},
		{status: 201, body: "", class: upstream.Uncertain},
	},
	"postmark": {
		{status: 401, body: postmarkBody(10, "The Server Token "+apiKey+" is not valid."), class: upstream.Account, code: "10", words: "***"},
		{status: 422, body: postmarkBody(100, "Maintenance"), class: upstream.Temporary},
		{status: 422, body: postmarkBody(300, "Invalid 'From' address: 'app'."), class: upstream.Permanent, code: "5.1.7"},
		{status: 422, body: postmarkBody(300, "Error parsing 'Cc': Illegal email domain 'x' in address 'a@x'."), class: upstream.Permanent, code: "5.1.3"},
		{status: 422, body: postmarkBody(300, "Invalid metadata content."), class: upstream.Permanent, code: "300"},
		{status: 422, body: postmarkBody(300, "The size of the message exceeds 10 MB"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 422, body: postmarkBody(400, "The 'From' address you supplied (app@example.com) is not a Sender Signature on your account."), class: upstream.Account, sender: true},
		{status: 422, body: postmarkBody(401, "The sender signature is not confirmed"), class: upstream.Account, sender: true},
		{status: 422, body: postmarkBody(402, "Invalid JSON"), class: upstream.Unrepresentable},
		{status: 422, body: postmarkBody(403, "Invalid request field(s)"), class: upstream.Unrepresentable},
		{status: 422, body: postmarkBody(405, "You ran out of credits and cannot send email"), class: upstream.Account},
		{status: 422, body: postmarkBody(406, "Found inactive addresses: ann@example.org. Inactive recipients are ones …"), class: upstream.Permanent, code: "5.7.1", words: "inactive"},
		{status: 422, body: postmarkBody(409, "JSON required"), class: upstream.Account},
		{status: 422, body: postmarkBody(411, "Forbidden attachment type"), class: upstream.Unrepresentable, code: "5.6.1"},
		{status: 422, body: postmarkBody(412, "While your account is pending approval, all recipient addresses must share the same domain as the 'From' address."), class: upstream.Account},
		{status: 422, body: postmarkBody(413, "Account may not send"), class: upstream.Account},
		{status: 429, body: postmarkBody(429, "Rate limit exceeded"), class: upstream.Throttled},
		{status: 422, body: postmarkBody(1235, "The 'MessageStream' provided does not exist on this server."), class: upstream.Account},
		{status: 422, body: postmarkBody(9999, "something new"), class: upstream.Temporary},
		{status: 403, body: "<html><title>403 Forbidden</title></html>", class: upstream.Account},
		{status: 413, body: "", class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 415, body: "", class: upstream.Account},
		{status: 500, body: postmarkBody(500, "x"), class: upstream.Temporary},
		{status: 503, body: "", class: upstream.Temporary},
		{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
		{status: 200, body: "{}", class: upstream.Uncertain},
		{status: 200, body: postmarkBody(0, "OK"), class: upstream.Uncertain},
	},
	"graph": {
		{status: 401, body: graphBody("InvalidAuthenticationToken", "Access token has expired or is not yet valid."), class: upstream.Account, code: "InvalidAuthenticationToken"},
		{status: 403, body: graphBody("ErrorAccessDenied", "Access is denied. The secret was "+apiKey), class: upstream.Account, words: "***"},
		{status: 403, body: graphBody("ErrorSendAsDenied", "The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account."), class: upstream.Account, sender: true},
		{status: 400, body: graphBody("ErrorSendAsDenied", "x"), class: upstream.Account, sender: true},
		{status: 403, body: graphBody("Authorization_RequestDenied", "x"), class: upstream.Account},
		{status: 404, body: graphBody("MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise."), class: upstream.Account},
		{status: 404, body: graphBody("ErrorInvalidUser", "The requested user 'x' is invalid."), class: upstream.Account},
		{status: 404, body: graphBody("ResourceNotFound", "Resource could not be discovered."), class: upstream.Account},
		{status: 403, body: graphBody("ErrorQuotaExceeded", "The mailbox has exceeded its quota."), class: upstream.Account},
		{status: 400, body: graphBody("ErrorQuotaExceeded", "The mailbox has exceeded its quota."), class: upstream.Account},
		{status: 400, body: graphBody("ErrorMessageSubmissionBlocked", "x"), class: upstream.Account},
		{status: 400, body: graphBody("ErrorExceededMessageLimit", "The message limit was exceeded."), class: upstream.Throttled, wait: time.Hour},
		{status: 400, body: graphBody("ErrorSubmissionQuotaExceeded", "x"), class: upstream.Throttled, wait: time.Hour},
		{status: 429, header: "Retry-After: 10", body: graphBody("ApplicationThrottled", "Application is over its MailboxConcurrency limit."), class: upstream.Throttled, code: "ApplicationThrottled", wait: 10 * time.Second},
		{status: 429, header: "Retry-After: 150", body: graphBody("TooManyRequests", "x"), class: upstream.Throttled, wait: 150 * time.Second},
		{status: 503, header: "Retry-After: 5", body: graphBody("ErrorServerBusy", "The server cannot service this request right now. Try again later."), class: upstream.Throttled, wait: 5 * time.Second},
		{status: 503, header: "Retry-After: 30", body: graphBody("serviceNotAvailable", "x"), class: upstream.Temporary, wait: 30 * time.Second},
		{status: 400, body: graphBody("ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content."), class: upstream.Unrepresentable, code: "5.6.0"},
		{status: 400, body: graphBody("ErrorInvalidRecipients", "At least one recipient isn't valid."), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, body: graphBody("ErrorMessageSizeExceeded", "The message exceeds the maximum supported size."), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 413, body: graphBody("RequestEntityTooLarge", "x"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 400, body: graphBody("SomethingNew", "x"), class: upstream.Temporary},
		{status: 500, body: graphBody("InternalServerError", "x"), class: upstream.Temporary},
		{status: 504, body: graphBody("UnknownError", ""), class: upstream.Uncertain},
		{status: 200, body: "{}", class: upstream.Uncertain},
		{status: 202, body: "<html><title>Sign in</title></html>", class: upstream.Uncertain, words: "Sign in"},
	},
	"gmail": {
		{status: 401, body: gmailBody("authError", "Invalid Credentials"), class: upstream.Account, code: "authError"},
		{status: 403, body: gmailBody("insufficientPermissions", "Request had insufficient authentication scopes. "+apiKey), class: upstream.Account, words: "***"},
		{status: 403, body: gmailBody("domainPolicy", "The domain administrators have disabled Gmail apps."), class: upstream.Account},
		{status: 403, body: gmailBody("accessNotConfigured", "Gmail API has not been used in project 1 before or it is disabled."), class: upstream.Account},
		{status: 403, body: gmailBody("forbidden", "Delegation denied for app@example.com"), class: upstream.Account},
		{status: 400, body: gmailBody("failedPrecondition", "Mail service not enabled"), class: upstream.Account},
		{status: 400, body: gmailBody("failedPrecondition", "Precondition check failed."), class: upstream.Account},
		{status: 403, body: gmailBody("dailyLimitExceeded", "Daily Limit Exceeded"), class: upstream.Throttled, wait: time.Hour},
		{status: 403, body: gmailBody("userRateLimitExceeded", "User Rate Limit Exceeded"), class: upstream.Throttled, wait: time.Second},
		{status: 429, body: gmailBody("rateLimitExceeded", "Rate Limit Exceeded"), class: upstream.Throttled, wait: time.Second},
		{status: 429, header: "Retry-After: 7", body: gmailBody("rateLimitExceeded", "Too many concurrent requests for user"), class: upstream.Throttled, wait: 7 * time.Second},
		{status: 429, body: gmailBody("rateLimitExceeded", "User-rate limit exceeded. (Mail sending)"), class: upstream.Throttled, code: "quota_exceeded", wait: time.Hour},
		{status: 429, body: gmailBody("rateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-02-02T05:40:00.000Z (Mail sending)"), class: upstream.Throttled, wait: 3 * time.Hour},
		{status: 429, body: gmailBody("rateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-02-02T02:40:30.000Z"), class: upstream.Throttled, wait: 30 * time.Second},
		{status: 429, body: `{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}`, class: upstream.Throttled, code: "RESOURCE_EXHAUSTED", wait: time.Second},
		{status: 400, body: gmailBody("invalidArgument", "Recipient address required"), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, body: gmailBody("invalidArgument", "Invalid To header"), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, body: gmailBody("invalidArgument", "Invalid From header"), class: upstream.Unrepresentable, code: "5.1.7"},
		{status: 400, body: gmailBody("invalidArgument", "x"), class: upstream.Permanent, code: "invalidArgument"},
		{status: 400, body: gmailBody("somethingNew", "x"), class: upstream.Temporary},
		{status: 413, body: gmailBody("uploadTooLarge", "x"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 404, body: gmailBody("notFound", "Requested entity was not found."), class: upstream.Account},
		{status: 500, body: gmailBody("backendError", "Backend Error"), class: upstream.Temporary},
		{status: 503, body: gmailBody("backendError", "x"), class: upstream.Temporary},
		{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
		{status: 200, body: "{}", class: upstream.Uncertain},
	},
	"mailgun": {
		{status: 400, body: mailgunBody("from parameter is missing"), class: upstream.Permanent},
		{status: 400, body: mailgunBody("'to' parameter is not a valid address. please check documentation."), class: upstream.Permanent, code: "5.1.3"},
		{status: 400, body: mailgunBody("Domain x is not allowed to send: business verification"), class: upstream.Account},
		{status: 401, body: "Forbidden", class: upstream.Account, words: "Forbidden"},
		{status: 401, body: `"Forbidden"`, class: upstream.Account},
		{status: 402, body: mailgunBody("pay"), class: upstream.Account},
		{status: 403, body: mailgunBody("Sandbox subdomains are for test purposes only."), class: upstream.Account},
		{status: 404, body: mailgunBody("Domain not found: mg.example.com"), class: upstream.Account},
		{status: 404, body: "404 page not found", class: upstream.Account},
		{status: 413, body: mailgunBody("too large"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 400, body: mailgunBody("message size exceeds the limit of 25 MB"), class: upstream.Unrepresentable, code: "5.3.4"},
		{status: 429, body: mailgunBody("Domain example.com is not allowed to send: account-requests-per-sec limit exceeded, try again after 120 seconds"), class: upstream.Throttled, wait: 2 * time.Minute},
		{status: 429, header: "X-RateLimit-Reset: 1770000012.5", body: mailgunBody("slow"), class: upstream.Throttled, wait: 12500 * time.Millisecond},
		{status: 500, body: mailgunBody("x"), class: upstream.Temporary},
		{status: 200, body: "Mailgun Magnificent API", class: upstream.Account, words: "Magnificent"},
		{status: 200, body: `{"message":"something else"}`, class: upstream.Uncertain},
		{status: 420, body: mailgunBody("Domain x.org is not allowed to send: recipient limit exceeded, try again after Mon, 02 Feb 2026 03:00:00 GMT"), class: upstream.Throttled, wait: 20 * time.Minute},
		{status: 429, body: mailgunBody("recipient limit exceeded, try again after 2026-02-02T03:00:00Z"), class: upstream.Throttled, wait: 20 * time.Minute},
		{status: 403, body: mailgunBody("Domain x.org is not allowed to send: recipient limit exceeded, try again after Mon, 02 Feb 2026 05:00:00 +0200"), class: upstream.Throttled, wait: 20 * time.Minute},
		{status: 400, body: mailgunBody("Domain x.org is not allowed to send: recipient limit exceeded, try again after 2026-05-01"), class: upstream.Throttled, wait: 24 * time.Hour},
		{status: 400, body: mailgunBody("Free accounts are for test purposes only. Please upgrade or add the address to authorized recipients in Account Settings."), class: upstream.Account},
		{status: 403, body: mailgunBody("Domain x.org is not allowed to send: Please activate your Mailgun account. Check your inbox or log in."), class: upstream.Account},
		{status: 200, body: "", class: upstream.Uncertain},
		{status: 200, body: "<html><title>Sign in to the Wi-Fi</title></html>", class: upstream.Uncertain, words: "Wi-Fi"},
		{status: 502, body: mailgunBody("x"), class: upstream.Temporary},
	},
}

// allRows hold for every provider.
var allRows = []errorRow{
	{status: 301, header: "Location: http://169.254.169.254/", class: upstream.Account, words: "redirect"},
	{status: 307, header: "Location: https://elsewhere.example/", class: upstream.Account, words: "redirect"},
	{status: 408, class: upstream.Temporary},
	{status: 429, header: "Retry-After: 2026-02-02T02:42:00Z", class: upstream.Throttled, wait: 2 * time.Minute},
	{status: 429, header: "Retry-After: Mon, 2 Feb 2026 03:42:00 +0100", class: upstream.Throttled, wait: 2 * time.Minute},
	{status: 418, body: "teapot", class: upstream.Temporary, words: "teapot"},
	{status: 429, header: "Retry-After: Sun, 01 Feb 2026 02:42:00 GMT", class: upstream.Throttled, wait: 2 * time.Minute},
	{status: 429, header: "Retry-After: 1.5", class: upstream.Throttled, wait: 1500 * time.Millisecond},
	{status: 429, header: "Retry-After: 99999999", class: upstream.Throttled, wait: 24 * time.Hour},
	{status: 429, header: "Retry-After: soon", class: upstream.Throttled},
	{status: 429, header: "X-RateLimit-Reset: 1760000000", class: upstream.Throttled}, // in the past
	// What a proxy says of the request that it passed on, or did not.
	{status: 413, body: "<html><title>413 Request Entity Too Large</title></html>", class: upstream.Unrepresentable, code: "5.3.4"},
	{status: 502, body: "<html><head><title>502 Bad Gateway</title></head></html>", class: upstream.Uncertain, words: `"502 Bad Gateway"`},
	{status: 502, body: `{"error":"bad gateway"}`, class: upstream.Uncertain},
	{status: 504, body: "", class: upstream.Uncertain},
	{status: 520, body: `{"message":"unknown","name":"error"}`, class: upstream.Uncertain}, {status: 524, body: `{"message":"timeout","name":"error"}`, class: upstream.Uncertain},
	{status: 530, body: "<html><title>Error 1016 | Cloudflare</title></html>", class: upstream.Temporary, words: "1016"},
	{status: 520, body: "<html>", class: upstream.Uncertain}, {status: 524, body: "<html>", class: upstream.Uncertain},
	{status: 521, body: "<html>", class: upstream.Temporary}, {status: 522, class: upstream.Temporary}, {status: 523, class: upstream.Temporary},
	{status: 525, body: "<html>", class: upstream.Temporary}, {status: 526, class: upstream.Temporary}, {status: 527, class: upstream.Temporary},
	{status: 530, body: "<html>", class: upstream.Temporary}, {status: 503, body: "<html>", class: upstream.Temporary}, {status: 511, body: "<html>", class: upstream.Temporary},
	{status: 500, header: "Ratelimit-Reset: 50", body: "\x00\xff\xfe garbage", class: upstream.Uncertain, words: "garbage"},
	{status: 500, body: strings.Repeat("x", 100<<10), class: upstream.Uncertain, words: "xxx…"},
	{status: 599, body: "", class: upstream.Uncertain, words: "without words"},
}

func TestErrorClasses(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		for _, row := range append(append([]errorRow{}, errorRows[kind.name]...), allRows...) {
			t.Run(fmt.Sprintf("%s/%d %.40s%s", kind.name, row.status, row.header, strings.ToValidUTF8(strings.Trim(row.body[:min(60, len(row.body))], "\x00"), "")), func(t *testing.T) {
				h := http.Header{"Date": {"Mon, 02 Feb 2026 02:40:00 GMT"}}
				if strings.Contains(row.header, "GMT") {
					h.Set("Date", "Sun, 01 Feb 2026 02:40:00 GMT")
				}
				if name, value, ok := strings.Cut(row.header, ": "); ok {
					h.Set(name, value)
				}
				fake.Script(upstreamtest.Fault{Status: row.status, Header: h, Body: row.body})
				requests := fake.Requests()
				out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))
				e := asError(t, out[0].Err)
				if e.Class != row.class || e.Status != row.status || e.Sender != row.sender || e.Connect {
					t.Errorf("got %+v", e)
				}
				if row.code != "" && e.Code != row.code {
					t.Errorf("code %q, want %q", e.Code, row.code)
				}
				if e.RetryAfter != row.wait {
					t.Errorf("retry after %v, want %v", e.RetryAfter, row.wait)
				}
				if !strings.Contains(e.Error(), row.words) || strings.ContainsAny(e.Error(), "\n\r\x00") || len(e.Error()) > 600 {
					t.Errorf("words %q, want %q", e.Error(), row.words)
				}
				if fake.Requests() != requests+1 {
					t.Errorf("%d requests", fake.Requests()-requests)
				}
			})
		}
		if n := len(fake.Accepted()); n != 0 {
			t.Errorf("%s: %d mails taken", kind.name, n)
		}
	}
}

func TestPhasesOfAnAttempt(t *testing.T) {
	large := strings.Replace(plainMessage, "body", strings.Repeat("a line of a large message\n", 400_000), 1)
	rows := []struct {
		name  string
		fault upstreamtest.Fault
		large bool
		class upstream.Class
		taken int
	}{
		{"before a large body", upstreamtest.Fault{Drop: upstreamtest.DropBeforeBody}, true, upstream.Temporary, 0},
		{"during a large body", upstreamtest.Fault{Drop: upstreamtest.DropDuringBody}, true, upstream.Temporary, 0},
		{"after the body", upstreamtest.Fault{Drop: upstreamtest.DropAfterBody}, false, upstream.Uncertain, 0},
		{"after a large body", upstreamtest.Fault{Drop: upstreamtest.DropAfterBody}, true, upstream.Uncertain, 0},
		{"the reply", upstreamtest.Fault{Drop: upstreamtest.DropReply}, false, upstream.Uncertain, 1},
		{"too slow", upstreamtest.Fault{Delay: time.Minute}, false, upstream.Uncertain, 0},
	}
	for _, kind := range apiKinds {
		for _, row := range rows {
			t.Run(kind.name+"/"+row.name, func(t *testing.T) {
				timeout := "1m"
				if row.fault.Delay > 0 {
					t.Parallel()
					timeout = "2s" // enough for the rest of the attempt on a busy machine, too
				}
				up, fake := start(t, kind.name, "timeout = '"+timeout+"'\n")
				fake.Script(row.fault)
				message := plainMessage
				if row.large {
					if kind.limit <= 20<<20 || kind.ahead {
						t.Skip("takes no mail of that size in the request that sends")
					}
					message = large
				}
				e := asError(t, up.Send(t.Context(), makeMail(t, message, "ann@example.org"))[0].Err)
				if e.Class != row.class || e.Connect || e.Status != 0 {
					t.Errorf("got %+v", e)
				}
				if fake.Requests() != 1 || len(fake.Accepted()) != row.taken {
					t.Errorf("%d requests, %d mails", fake.Requests(), len(fake.Accepted()))
				}
			})
		}
	}
}

// TestAnsweredEarly: an answer that came before the request had left whole is about a mail that nobody has.
func TestAnsweredEarly(t *testing.T) {
	large := strings.Replace(plainMessage, "body", strings.Repeat("a line of a large message\n", 700_000), 1)
	for _, kind := range apiKinds {
		if kind.limit <= 20<<20 || kind.ahead {
			continue
		}
		for status, want := range map[int]upstream.Class{200: upstream.Temporary, 502: upstream.Temporary, 504: upstream.Temporary, 524: upstream.Temporary,
			413: upstream.Unrepresentable, 429: upstream.Throttled} {
			up, fake := start(t, kind.name, "")
			fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropRest, Status: status, Body: "<html>early</html>"})
			e := asError(t, up.Send(t.Context(), makeMail(t, large, "ann@example.org"))[0].Err)
			if e.Class != want || e.Status != status {
				t.Errorf("%s %d: %+v", kind.name, status, e)
			}
		}
	}
}

func TestHalfReply(t *testing.T) {
	want := map[string]upstream.Class{"resend": upstream.Uncertain, "mailgun": upstream.Uncertain}
	for kind, class := range want {
		up, fake := start(t, kind, "")
		fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropHalfReply})
		e := asError(t, up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))[0].Err)
		if e.Class != class || len(fake.Accepted()) != 1 {
			t.Errorf("%s: %+v", kind, e)
		}
	}
	// SendGrid's 202 says it all; there is no body that could be missed.
	up, fake := start(t, "sendgrid", "")
	fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropHalfReply})
	if out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org")); out[0].Err != nil || len(fake.Accepted()) != 1 {
		t.Errorf("sendgrid: %+v", out)
	}
}

func TestNoConnection(t *testing.T) {
	closed := "http://" + freeport.Addr(t)
	fake := upstreamtest.NewResend(apiKey, upstreamtest.TLS())
	defer fake.Close()
	for name, url := range map[string]string{"nobody listens": closed, "unknown authority": fake.URL, "no name": "https://mailhatch.invalid"} {
		up := mustOpen(t, "resend", "api_key = '"+apiKey+"'\nbase_url = '"+url+"'\n")
		e := asError(t, up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))[0].Err)
		if e.Class != upstream.Temporary || !e.Connect {
			t.Errorf("%s: %+v", name, e)
		}
		if err := up.(upstream.Checker).Check(t.Context()); !asError(t, err).Connect {
			t.Errorf("%s: check says %v", name, err)
		}
	}
	if fake.Requests() != 0 {
		t.Error("a request reached a server that is not trusted")
	}
}

func TestCancelled(t *testing.T) {
	up, fake := start(t, "mailgun", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range up.Send(ctx, makeMail(t, plainMessage, "ann@example.org", "bob@example.org")) {
		if e := asError(t, o.Err); e.Class != upstream.Temporary {
			t.Errorf("%+v", e)
		}
	}
	if fake.Requests() != 0 {
		t.Error("something was sent")
	}
}

// TestResendSameKey loses the reply and asks again: the mail is taken once.
func TestResendSameKey(t *testing.T) {
	up, fake := start(t, "resend", "")
	fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropReply})
	m := makeMail(t, plainMessage, "ann@example.org", "bob@example.org")
	lost := asError(t, up.Send(t.Context(), m)[0].Err)
	if lost.Class != upstream.Uncertain || lost.Digest == "" || lost.Changed {
		t.Fatalf("%+v", lost)
	}
	m.Digest = lost.Digest
	for i, o := range up.Send(t.Context(), m) {
		if o.Err != nil || o.ID != "resend-1" {
			t.Errorf("recipient %d: %+v", i, o)
		}
	}
	if n := len(fake.Accepted()); n != 1 {
		t.Errorf("taken %d times", n)
	}
	changed := makeMail(t, strings.Replace(plainMessage, "body", "other", 1), "ann@example.org", "bob@example.org")
	if e := asError(t, up.Send(t.Context(), changed)[0].Err); e.Class != upstream.Uncertain || e.Code != "invalid_idempotent_request" || !e.Changed {
		t.Errorf("%+v", e)
	}
	fake.Reset()
	changed.Digest = lost.Digest
	for _, o := range up.Send(t.Context(), changed) {
		if e := asError(t, o.Err); e.Class != upstream.Uncertain || !e.Changed || e.Digest != lost.Digest || fake.Requests() != 0 {
			t.Errorf("%+v after %d requests", e, fake.Requests())
		}
	}
	changed.Digest, changed.Key = "", changed.ID+"-2"
	if o := up.Send(t.Context(), changed)[0]; o.Err != nil {
		t.Errorf("with another key: %v", o.Err)
	}
}
