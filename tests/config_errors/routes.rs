//! What is wrong with routes, captures, the gates of a route, and who calls.

use super::{assert_says, errors_of};

// Security.
refused! {
    a_preset_of_security_headers_is_one_of_three:
        "security.headers = \"hard\"", "1:20", "`security.headers`", "strict";
    unknown_paths_are_forwarded_or_denied:
        "security.unmatched = \"block\"", "1:22", "`security.unmatched`", "deny";
    an_origin_has_a_scheme:
        "security.csrf_trusted_origins = [\"sso.example.com\"]", "1:34",
        "`security.csrf_trusted_origins` holds something that is not an origin",
        "expected SCHEME://HOST[:PORT]", "write \"https://sso.example.com\"";
    an_origin_has_no_path:
        "security.csrf_trusted_origins = [\"https://a.example\", \"https://b.example/login\"]", "1:55",
        "expected SCHEME://HOST[:PORT]", "write \"https://b.example\"";
    an_origin_is_no_pattern:
        "security.csrf_trusted_origins = [\"https://*.example\"]", "1:34", "name each origin";
    an_origin_is_written_in_punycode:
        "security.csrf_trusted_origins = [\"https://bücher.example\"]", "1:34", "Punycode";
    null_is_no_origin:
        "security.csrf_trusted_origins = [\"null\"]", "1:34", "any page can send it";
    an_origin_has_no_credentials:
        "security.csrf_trusted_origins = [\"https://a@b.example\"]", "1:34", "no user information";
    an_origin_s_port_is_a_port:
        "security.csrf_trusted_origins = [\"https://b.example:0\"]", "1:34", "from 1 to 65535";
    a_field_that_frames_a_request_stays:
        "security.remove_request_headers = [\"Host\"]", "1:36", "frames or routes the request";
    a_removed_field_has_a_name:
        "security.remove_request_headers = [\"x debug\"]", "1:36", "as in \"x-debug\"";
    a_removed_field_is_named_once:
        "security.remove_request_headers = [\"x-a\", \"X-A\"]", "1:43", "named before";
    an_override_is_not_for_what_one_answer_is:
        "security.override.set-cookie = \"a=1\"", "1:19", "`security.override` cannot set `set-cookie`";
    an_override_is_a_header_value:
        "security.override.x-a = \"a\\nb\"", "1:25", "`security.override.x-a` is not a header value";
    an_override_has_a_name:
        "security.override.\"x a\" = \"1\"", "1:19", "not one of a header field";
    an_override_is_a_string:
        "security.override.x-a = 1", "1:25", "expected a string";
}

// Routes and captures.
refused! {
    a_route_without_a_match_is_refused:
        "routes = [{ name = \"a\" }]", "1:11", "`routes.match` is missing";
    a_template_without_a_method_is_refused:
        "routes = [{ match = \"/api\" }]", "1:21", "`routes.match` is not a route template",
        "expected a method or `*`, a space and a path, as in \"GET /api/users/{id}\"";
    a_method_in_lower_case_is_refused:
        "routes = [{ match = \"get /api\" }]", "1:21", "expected a method in capitals";
    a_template_that_no_canonical_path_meets_is_refused:
        "routes = [{ match = \"GET /a//b\" }]", "1:21", "never occurs in a canonical path";
    a_tail_must_be_last:
        "routes = [{ match = \"GET /{*rest}/b\" }]", "1:21", "takes the rest of the path";
    a_route_that_is_shadowed_is_refused:
        "routes = [{ match = \"* /a/{x}\" }, { match = \"GET /a/{y}\" }]", "1:45",
        "this route can never match", "this earlier route takes all of its requests",
        "help: the first match wins";
    two_routes_of_one_name_are_refused:
        "routes = [{ name = \"a\", match = \"GET /a\" }, { name = \"a\", match = \"GET /b\" }]", "1:54",
        "two routes have the same name", "used here first";
    an_unknown_action_is_refused:
        "routes = [{ match = \"GET /a\", action = \"block\" }]", "1:40", "expected \"forward\" or \"deny\"";
    an_unknown_audit_event_lists_the_known_ones:
        "routes = [{ match = \"GET /a\", audit = \"USER_LOGON\" }]", "1:39",
        "`routes.audit` is not an audit event", "ORCHESTRATION_REQUEST", "did you mean \"USER_LOGIN\"?";
    an_unknown_limit_of_a_route_is_refused:
        "routes = [{ match = \"GET /a\", rate_limits = [\"b\"] }]", "1:46",
        "`routes.rate_limits` names an unknown limit", "there is no `[rate_limits.<name>]` at all";
    an_unknown_capture_of_a_route_is_refused:
        "routes = [{ match = \"GET /a\", captures = [\"b\"] }]", "1:43",
        "`routes.captures` names an unknown capture";
    an_unknown_default_limit_is_refused:
        "route_defaults.rate_limits = [\"b\"]", "1:31",
        "`route_defaults.rate_limits` names an unknown limit";
    a_zero_timeout_of_a_route_is_refused:
        "routes = [{ match = \"GET /a\", timeouts = { response_header = \"0s\" } }]", "1:62",
        "must not be zero";
    a_capture_from_elsewhere_is_refused:
        "captures.a = { from = \"request.header:x-a\", values = [\"b\"] }", "1:23",
        "expected \"request.body:\" or \"response.body:\" and a JSON pointer",
        "\"response.header:\" and a name, or \"path:\" and a parameter";
    a_capture_of_a_header_that_cannot_be_is_refused:
        "captures.a = { from = \"response.header:x a\", values = [\"b\"] }", "1:23",
        "expected the name of a header field";
    a_parameter_that_the_route_does_not_have_is_refused:
        "captures.a = { from = \"path:id\", take = \"hmac\" }\nroutes = [{ match = \"GET /a/{user}\", captures = [\"a\"] }]",
        "2:50", "`routes.captures` names a parameter that the route does not have",
        "this takes `{id}` of the path", "not in here";
    a_label_that_is_taken_is_refused:
        "captures.\"error-type\" = { from = \"path:id\", values = [\"b\"], metric = true }", "1:70",
        "as a label it would be `error_type`, which is taken";
    two_captures_that_would_be_one_label_are_refused:
        "captures.\"a-b\" = { from = \"path:id\", values = [\"b\"], metric = true }\ncaptures.a_b = { from = \"path:id\", values = [\"b\"], metric = true }",
        "2:61", "another capture is the label `a_b` already";
    a_label_that_begins_with_a_digit_is_refused:
        "captures.1 = { from = \"path:id\", values = [\"b\"], metric = true }", "1:59",
        "no label begins with a digit";
    a_pseudonym_is_no_label:
        "captures.a = { from = \"request.body:/a\", take = \"hmac\", metric = true }", "1:66",
        "a pseudonym is no metric label";
    a_pointer_without_a_slash_is_refused:
        "captures.a = { from = \"request.body:a\", values = [\"b\"] }", "1:23",
        "expected a JSON pointer that begins with `/`";
    a_pointer_with_a_lone_tilde_is_refused:
        "captures.a = { from = \"request.body:/a~2\", values = [\"b\"] }", "1:23",
        "`~` must be `~0` or `~1`";
    a_capture_of_any_text_is_refused:
        "captures.a = { from = \"request.body:/a\" }", "1:10",
        "`captures.a.values` is missing", "any text could leave";
    a_length_is_no_label:
        "captures.a = { from = \"request.body:/a\", take = \"length\", metric = true }", "1:68",
        "a length is no metric label";
    a_number_has_no_list:
        "captures.a = { from = \"response.body:/a\", take = \"number\", values = [\"b\"] }", "1:69",
        "a number has no list of values";
    an_unknown_take_is_refused:
        "captures.a = { from = \"request.body:/a\", take = \"lenght\", values = [\"b\"] }", "1:49",
        "did you mean \"length\"?";
}

// Who calls.
refused! {
    a_token_needs_an_issuer:
        "identity.source = \"jwt\"\nidentity.jwt = { jwks_url = \"https://a.example/keys\", audience = \"a\" }",
        "2:16", "`identity.jwt.issuer` is missing", "tokens of any issuer would count",
        "write `issuer = \"*\"` to accept any";
    a_token_needs_an_audience:
        "identity.source = \"jwt\"\nidentity.jwt = { jwks_url = \"https://a.example/keys\", issuer = \"a\" }",
        "2:16", "`identity.jwt.audience` is missing", "tokens for anybody would count",
        "write `audience = \"*\"` to accept any";
    a_tenant_is_a_claim:
        "identity.tenant = \"org\"", "1:10", "unknown key `tenant` in `identity`",
        "did you mean `tenant_claim`?";
    a_path_of_a_route_is_its_match:
        "routes = [{ match = \"GET /a\", path = \"/api\" }]", "1:31",
        "unknown key `path` in `routes`", "did you mean `match`?";
    a_parameter_has_braces:
        "routes = [{ match = \"GET /api/:id\" }]", "1:21", "`routes.match` is not a route template",
        "a parameter is written `{id}`, not `:id`";
    the_rest_of_a_path_has_braces:
        "routes = [{ match = \"* /api/*\" }]", "1:21", "`routes.match` is not a route template",
        "the rest of a path is written `{*rest}`";
    a_tenant_in_a_path_is_in_some_path:
        "identity.tenant_path_param = \"tennant\"\nroutes = [{ match = \"* /t/{tenant}/{*rest}\" }]",
        "1:30", "`identity.tenant_path_param` names a parameter that no path has",
        "no route and no operation has `{tennant}`", "did you mean \"tenant\"?";
    a_tenant_in_a_path_needs_a_path:
        "identity.tenant_path_param = \"org\"", "1:30",
        "`identity.tenant_path_param` names a parameter that no path has",
        "add a route with it, such as `match = \"* /tenants/{org}/{*rest}\"`";
    a_request_id_is_no_trace_context:
        "request_id.header = \"tracestate\"", "1:21", "expected a header of its own";
    a_token_needs_a_key:
        "identity.source = \"jwt\"\nidentity.jwt = { issuer = \"*\", audience = \"*\" }",
        "2:16", "`identity.jwt` has no source of keys", "no key could check a token",
        "set one of \"jwks_url\", \"jwks_file\"";
    tokens_without_a_table_are_one_mistake_with_a_place:
        "identity.source = \"jwt\"", "1:19", "`identity.source` needs `[identity.jwt]`",
        "add `[identity.jwt]` with `jwks_url`, `issuer` and `audience`";
    a_wrong_table_of_tokens_is_one_mistake:
        "identity.source = \"jwt\"\nidentity.jwt = \"https://a.example\"", "2:16",
        "`identity.jwt` has the wrong type", "expected a table";
    keys_come_over_a_safe_way:
        "identity.jwt.jwks_url = \"http://issuer.example/keys\"", "1:25",
        "`identity.jwt.jwks_url` is not a URL for keys", "expected https:// (http:// only on this machine)";
    a_public_key_is_never_a_secret:
        "identity.jwt.algorithms = [\"RS256\", \"HS256\"]", "1:37", "this one needs `secret_file`";
    headers_need_a_proxy_that_sets_them:
        "identity.source = \"headers\"", "1:19", "`identity.source` trusts nobody",
        "name the proxy that sets them in `server.trusted_proxies`";
    certificates_need_an_authority:
        "identity.source = \"mtls\"", "1:19", "`identity.source` asks for no certificates",
        "name the authorities of your clients in `server.tls.client_ca_file`";
    what_nobody_has_cannot_be_required:
        "route_defaults.identity = \"required\"", "1:27", "can never be met",
        "set `identity.source`, for example \"jwt\"";
    a_signature_needs_a_key:
        "identity.signing_key_file = \"config/sidecar.toml\"", "1:29",
        "`identity.signing_key_file` cannot sign", "it holds no PEM block `PRIVATE KEY`",
        "make one with `openssl genpkey -algorithm ed25519`";
    a_key_to_sign_with_can_be_read:
        "identity.signing_key_file = \"/nowhere/key.pem\"", "1:29",
        "`identity.signing_key_file` cannot be read", "reading `/nowhere/key.pem`";
    a_claim_does_not_replace_a_field_of_the_protocol:
        "identity.forward = { authorization = \"sub\" }", "1:22",
        "`authorization` cannot carry a claim", "this field means something else";
}
